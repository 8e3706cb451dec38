import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ArchiveOutput, ShapeArchive, WriteArchiveJob } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import { limiterOf } from '../limit-rate.js';
import type { ArchiveWritten } from '../output/archive-events.js';
import { usageError } from '../usage.js';

export interface ArchiveRequest
  extends Pick<WriteArchiveJob, 'hypervisor' | 'hypervisorName' | 'selector' | 'notes' | 'connections'> {
  readonly command: ArchiveWritten['command'];
  /** As it was written: a file, a folder with `--pve`, or `-`. */
  readonly target: string;
  /** What the archive says of itself, unless `--pve` asks for what Proxmox wants. */
  readonly shape: ShapeArchive;
  /** Unless the command line names them. */
  readonly uuid?: Buffer | undefined;
  readonly ctime?: number | undefined;
}

/** Writes an archive as the options say, and tells what came of it. */
export async function writeArchiveTo(context: CommandContext, request: ArchiveRequest): Promise<void> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const { command, target, shape: plain, uuid: ownUuid, ctime: ownTime, ...source } = request;
  const { pveShape, writeArchive } = await import('@vbackup/core/backup/archive/write');
  const { formatUuid, parseUuid, SIDECAR_SUFFIX } = await import('@vbackup/core/vma');
  const vmid = options.number('pve');
  const uuidText = options.text('uuid');
  const named = uuidText === undefined ? ownUuid : parseUuid(uuidText);
  const uuid = options.flag('dedup') ? ('derived' as const) : named;
  const ctime = options.number('ctime') ?? ownTime;
  const storage = options.text('pve-storage');
  const shape = vmid === undefined ? plain : pveShape({ vmid, storage });
  const opened = await openOutput(context, { target, vmid });
  const { path } = opened;
  const sidecarPath = path === null ? null : path + SIDECAR_SUFFIX;
  await using archive = opened.output;
  const limiter = await limiterOf(options.number('limit-rate'));
  const job = { ...source, limiter, output: archive, sidecarPath, uuid, ctime, shape };
  const done = await writeArchive({ ...job, onEvent: output.work, signal });
  // Nothing else may stand in a stream that is an archive.
  if (path === null) return;
  output.item({
    type: 'summary',
    scope: 'item',
    command,
    written: {
      path: opened.name,
      compression: compressionOf(context),
      uuid: formatUuid(done.uuid),
      created: new Date(done.ctime * 1000).toISOString(),
      length: done.length,
      configs: done.configs,
      devices: done.devices.map(({ name, size, dataLength }) => ({ name, size, data: dataLength })),
      sidecar: done.sidecarPath === null ? null : opened.name + SIDECAR_SUFFIX,
    },
    elapsedMs: done.elapsedMs,
  });
}

interface OpenedOutput {
  readonly output: ArchiveOutput;
  /** Absolute; null for standard output. */
  readonly path: string | null;
  /** For people. */
  readonly name: string;
}

interface OutputRequest {
  readonly target: string;
  readonly vmid: number | undefined;
}

const compressionOf = ({ invocation }: CommandContext): 'none' | 'zstd' =>
  invocation.options.text('compress') === 'zstd' ? 'zstd' : 'none';

async function openOutput(context: CommandContext, { target, vmid }: OutputRequest): Promise<OpenedOutput> {
  const { openArchiveOutput, pveArchiveName, streamArchiveOutput } = await import('@vbackup/core/vma');
  const { world, invocation, signal } = context;
  const compression = compressionOf(context);
  const force = invocation.options.flag('force');
  if (target === '-') {
    if (invocation.options.flag('json')) throw usageError('--json and an archive cannot both go to standard output');
    return { output: streamArchiveOutput(world.stdoutBytes(), { compression, signal }), path: null, name: '-' };
  }
  const name =
    vmid !== undefined && (await isFolder(resolve(world.cwd, target)))
      ? join(target, pveArchiveName({ vmid, time: new Date(world.now()), compression }))
      : target;
  const path = resolve(world.cwd, name);
  const partial = vmid === undefined ? 'partial' : 'pve';
  return { output: await openArchiveOutput({ path, partial, force, compression, signal }), path, name };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Whatever is in the way is told by who opens it.
    return false;
  }
}
