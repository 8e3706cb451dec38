import { VBackupError } from '@vbackup/core/errors';
import { shapeFault } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';
import type { MonitorRequest } from '../connection/index.js';

/** QEMU has some dozens of each. */
const MOST_ITEMS = 10_000;

const ListOf = <T>(item: v.GenericSchema<unknown, T>): v.GenericSchema<unknown, T[]> =>
  v.pipe(v.array(item), v.maxLength(MOST_ITEMS));

const NodesSchema = ListOf(
  v.object({
    'node-name': v.string(),
    file: v.string(),
    // One that an export or a job made for itself has no name.
    'dirty-bitmaps': v.optional(ListOf(v.object({ name: v.optional(v.string()) }))),
  }),
);
const JobsSchema = ListOf(v.object({ id: v.string(), type: v.string(), status: v.string() }));
const ExportsSchema = ListOf(v.object({ id: v.string(), 'node-name': v.string() }));
const AnswerSchema = v.union([
  v.object({ return: v.unknown() }),
  v.object({ error: v.object({ class: v.string(), desc: v.string() }) }),
]);

/** What QEMU tells of its block layer. */
export interface QemuState {
  readonly nodes: v.InferOutput<typeof NodesSchema>;
  readonly jobs: v.InferOutput<typeof JobsSchema>;
  readonly exports: v.InferOutput<typeof ExportsSchema>;
}

/** What stands behind `return`. @throws VBackupError VB_LIBVIRT_MONITOR what stands behind `error`, or no answer at all */
export function parseAnswer(request: MonitorRequest, text: string): unknown {
  const { execute } = request;
  let parsed: v.SafeParseResult<typeof AnswerSchema>;
  try {
    parsed = v.safeParse(AnswerSchema, JSON.parse(text));
  } catch (cause) {
    throw new VBackupError('VB_LIBVIRT_MONITOR', `QEMU answers no JSON to ${execute}`, { cause });
  }
  if (!parsed.success) throw new VBackupError('VB_LIBVIRT_MONITOR', `QEMU answers neither way to ${execute}`);
  if ('error' in parsed.output) {
    throw new VBackupError('VB_LIBVIRT_MONITOR', `QEMU refuses ${execute}: ${parsed.output.error.desc}`);
  }
  return parsed.output.return;
}

/** @throws VBackupError VB_LIBVIRT_MONITOR */
export function parseState(told: Readonly<Record<keyof QemuState, unknown>>): QemuState {
  const state = v.safeParse(v.object({ nodes: NodesSchema, jobs: JobsSchema, exports: ExportsSchema }), told);
  if (state.success) return state.output;
  const [issue] = state.issues;
  throw new VBackupError(
    'VB_LIBVIRT_MONITOR',
    `QEMU tells its nodes, jobs and exports otherwise: ${shapeFault(issue)}`,
  );
}

export interface LostJob {
  readonly scratches: readonly string[];
  /** The checkpoint, if libvirt does not know it; else null. */
  readonly bitmap: string | null;
}

/** As libvirt names its jobs: `backup-vda-libvirt-3-format`, `create-libvirt-7-storage`. */
const BACKUP_JOB = /^backup-.+-libvirt-\d+-format$/;
const CREATE_JOB = /^create-(libvirt-\d+)-(?:format|storage)$/;

/**
 * What takes the next things away that a lost job left in QEMU; empty if nothing of it is there. Nothing is touched but what hangs
 * on its scratch files and bears its checkpoint's name. What uses a thing must be gone first: ask again afterwards.
 */
export function endingOf(job: LostJob, { nodes, jobs, exports }: QemuState): readonly MonitorRequest[] {
  const own = nodes.filter(({ file }) => job.scratches.some((path) => isImageOf(file, path)));
  const names = new Set(own.map((node) => node['node-name']));
  // A domain has one backup job at a time: where its scratch files are open, and libvirt knows of none, it is the lost one.
  const lost = names.size === 0 ? [] : jobs.filter(({ id }) => BACKUP_JOB.test(id));
  const created = jobs.filter(({ id }) => names.has(`${CREATE_JOB.exec(id)?.[1] ?? ''}-storage`));
  const orphans = nodes.filter((node) => node['dirty-bitmaps']?.some(({ name }) => name === job.bitmap) === true);
  const users = [
    ...exports
      .filter((each) => names.has(each['node-name']))
      .map(({ id }) => ({ execute: 'block-export-del' as const, values: { id, mode: 'hard' } })),
    ...[...lost, ...created].map(({ id, status }) =>
      status === 'concluded'
        ? { execute: 'job-dismiss' as const, values: { id } }
        : { execute: 'job-cancel' as const, values: { id } },
    ),
  ];
  // By its images a job is known as ours: it goes before them. A format lies above its storage, and is named like it.
  if (users.length > 0) return users;
  return [
    ...[...names].toSorted().map((name) => ({ execute: 'blockdev-del' as const, values: { 'node-name': name } })),
    ...orphans.map((node) => ({
      execute: 'block-dirty-bitmap-remove' as const,
      values: { node: node['node-name'], name: job.bitmap ?? '' },
    })),
  ];
}

/** A node whose backing was given to it has its options for a name. */
const isImageOf = (file: string, path: string): boolean =>
  file === path || (file.startsWith('json:') && file.includes(JSON.stringify(path)));
