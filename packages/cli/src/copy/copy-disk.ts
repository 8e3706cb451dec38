import type { BlockReader, OpenTarget, SparseCopyJob } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { limiterOf } from '../limit-rate.js';
import { openReader } from '../map/open-reader.js';
import type { Subject } from '../subject.js';
import { openFileTarget, openNbdTarget } from '../targets.js';
import { warnOfFormat } from '../warn-of-format.js';
import { CopyProgress } from './copy-progress.js';

/** As many as a backup reads over. */
const CONNECTIONS = 2;

type Place = Exclude<Subject, { kind: 'backup' }>;
type FilePlace = Extract<Subject, { kind: 'path' }>;

export interface CopyRequest {
  readonly source: Place;
  readonly target: Place;
  readonly reflink: SparseCopyJob['reflink'];
  readonly connections: number | undefined;
  /** In bytes per second. */
  readonly limitRate: number | undefined;
  readonly force: boolean;
  readonly verify: boolean;
}

export interface CopyResult {
  readonly method: 'reflink' | 'copy';
  readonly size: number;
  /** Bytes that were written, or are shared, as data. */
  readonly written: number;
  readonly elapsedMs: number;
}

/** Copies, tells how far it is, and compares both sides if that was asked for. */
export async function copyDisk(context: CommandContext, request: CopyRequest): Promise<CopyResult> {
  const { source, target } = request;
  if (source.kind === 'path') await warnOfFormat(source, { work: 'copy', output: context.output });
  // What the kernel copies by itself cannot be held to a rate.
  return source.kind === 'path' && target.kind === 'path' && request.limitRate === undefined
    ? copyFile(context, { ...request, source, target })
    : copyByRequests(context, request);
}

type FileRequest = CopyRequest & { readonly source: FilePlace; readonly target: FilePlace };

async function copyFile({ output, signal }: CommandContext, request: FileRequest): Promise<CopyResult> {
  const { source, target, reflink, force, verify } = request;
  const { sparseCopy } = await import('@vbackup/core/devices');
  let progress: CopyProgress | undefined;
  const summary = await sparseCopy({
    source: source.path,
    target: target.path,
    reflink,
    existing: force ? 'replace' : 'refuse',
    verify,
    signal,
    onWarning: ({ code, message }) => output.warning(code, message),
    onProgress: ({ phase, done, length }) => {
      progress ??= new CopyProgress(output, { name: source.name, size: length, phases: verify ? 2 : 1 });
      progress.at(phase === 'copy' ? 0 : 1, done);
    },
  });
  const { method, length: size, data: written, elapsedMs } = summary;
  progress ??= new CopyProgress(output, { name: source.name, size, phases: 1 });
  progress.finish({ read: method === 'reflink' ? 0 : written, written, elapsedMs });
  return { method, size, written, elapsedMs };
}

async function copyByRequests(context: CommandContext, request: CopyRequest): Promise<CopyResult> {
  const { output, signal } = context;
  const { source, target, verify } = request;
  const { copyDevice } = await import('@vbackup/core/backup/copy');
  const started = performance.now();
  await using reader = await open(context, source, request);
  const progress = new CopyProgress(output, { name: source.name, size: reader.size, phases: verify ? 2 : 1 });
  const { size, read, written } = await copyDevice({
    reader: await paced(reader, request),
    openTarget: targetOf(request),
    label: source.name,
    onProgress: (done) => progress.at(0, done),
    signal,
  });
  if (verify) {
    await using copied = await open(context, target, request);
    await compare({ source: reader, target: copied, request, signal, onProgress: (done) => progress.at(1, done) });
  }
  const elapsedMs = performance.now() - started;
  progress.finish({ read, written, elapsedMs });
  return { method: 'copy', size, written, elapsedMs };
}

async function paced(reader: BlockReader, { limitRate }: CopyRequest): Promise<BlockReader> {
  const limiter = await limiterOf(limitRate);
  if (limiter === undefined) return reader;
  const { pacedReader } = await import('@vbackup/core/pace');
  return pacedReader(reader, limiter);
}

const open = ({ output, signal }: CommandContext, place: Place, request: CopyRequest): Promise<BlockReader> =>
  openReader(place, {
    signal,
    connections: request.connections ?? CONNECTIONS,
    onWarning: ({ code, message }) => output.warning(code, message),
  });

const targetOf = ({ target, force, connections = CONNECTIONS }: CopyRequest): OpenTarget =>
  target.kind === 'nbd' ? openNbdTarget(target.name, { connections }) : openFileTarget(target.path, { force });

interface Comparison {
  readonly source: BlockReader;
  readonly target: BlockReader;
  readonly request: CopyRequest;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

/** @throws VBackupError VB_COPY_DIFFERS */
async function compare({ source, target, request, signal, onProgress }: Comparison): Promise<void> {
  const { firstDifference } = await import('@vbackup/core/devices');
  const { size } = source;
  const offset =
    target.size < size ? target.size : await firstDifference({ left: source, right: target, size, onProgress, signal });
  if (offset === null) return;
  const message = `${request.target.name} differs from ${request.source.name} at byte ${offset}`;
  throw new VBackupError('VB_COPY_DIFFERS', message, {
    cure: 'look for what else writes to one of them, and check memory and storage; then copy again',
  });
}
