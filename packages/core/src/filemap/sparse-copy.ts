import { UnsupportedError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import { checkCopyJob, copiedRange } from './check-copy-job.js';
import { cloneFile } from './clone-file.js';
import { compareFiles, wholeRange } from './compare-files.js';
import { copyContent } from './copy-content.js';
import type { CopyParts } from './copy-parts.js';
import { CopySource, type OpenFilemap } from './copy-source.js';
import { openCopyTarget } from './copy-target.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { openFilemap } from './open-filemap.js';
import type { SparseCopyJob, SparseCopyProgress, SparseCopySummary } from './sparse-copy-job.js';

/** What a copy reaches for, so that tests can put something else in its place. */
export interface CopyWorld {
  readonly openFilemap: OpenFilemap;
  readonly loadLibc: () => Promise<Libc | null>;
}

const WORLD: CopyWorld = { openFilemap, loadLibc };

/**
 * Copies a file or block device, or a range of one, so that only data takes time and space: as a reflink where that is
 * possible, else the data extents of its map alone. A target that is new, or that is replaced, gets its name when it is
 * complete, and nothing of it is left otherwise; what is written in place is unfinished after a failure. A new file gets
 * the permissions of the source, less the umask; owner, times and extended attributes are not copied.
 * @throws VBackupError VB_FILE_TYPE, VB_FILE_SHORT, VB_FILE_SAME, VB_FILE_CHANGED, VB_TARGET_EXISTS, VB_TARGET_INVALID,
 * VB_TARGET_TOO_SMALL, VB_NO_SPACE, VB_ACCESS_DENIED, VB_IO, VB_ABORTED, VB_INVALID_ARGUMENT; VB_COPY_DIFFERS with
 * `verify`; UnsupportedError VB_UNSUPPORTED with `reflink: 'always'`
 */
export function sparseCopy(job: SparseCopyJob): Promise<SparseCopySummary> {
  return withAbortCode(job.signal, () => copyIn(WORLD, job));
}

/** {@link sparseCopy} in another world. */
export async function copyIn(world: CopyWorld, job: SparseCopyJob): Promise<SparseCopySummary> {
  const startedMs = performance.now();
  checkCopyJob(job);
  job.signal?.throwIfAborted();
  const { skip = 0, seek = 0, existing = 'refuse', holes = 'punch', detectZeroes = true, fsync = true, signal } = job;
  const mapOptions = { method: job.method, onWarning: job.onWarning, signal };
  const libc = await world.loadLibc();
  await using source = await CopySource.open(job.source, world.openFilemap, mapOptions);
  const range = copiedRange(job, source.size);
  const place = { existing, source: source.stat, offset: seek, end: seek + range.length, libc };
  await using target = await openCopyTarget(job.target, place);
  const onDone = reporter(job, 'copy', range.length);
  const mayShare = job.reflink !== 'never';
  const parts = { source, target, libc, range, shift: seek - skip, holes, detectZeroes, mayShare, onDone, signal };
  const counts = (await shareBlocks(parts, job)) ? await countShared(world, parts) : await copyBytes(parts);
  if (job.verify === true) {
    if (fsync) await target.sync();
    await verify(parts, job);
  }
  await target.finish({ fsync });
  return { ...counts, length: range.length, elapsedMs: performance.now() - startedMs };
}

type Counts = Omit<SparseCopySummary, 'length' | 'elapsedMs'>;

/** @returns whether it did: else the bytes are to be copied */
async function shareBlocks(parts: CopyParts, { reflink = 'auto' }: SparseCopyJob): Promise<boolean> {
  if (reflink === 'never') return false;
  const refusal = await cloneFile(parts);
  if (refusal === null) {
    parts.onDone(parts.range.length);
    return true;
  }
  if (reflink === 'auto') return false;
  const message = `${parts.target.path} cannot share the blocks of ${parts.source.path}: ${refusal.reason}`;
  const cure = 'copy within one file system that has reflinks, as xfs and btrfs do, or allow a plain copy';
  throw new UnsupportedError('VB_UNSUPPORTED', message, { cause: refusal.cause, cure });
}

/** In the target: the source may be in use again. */
async function countShared(world: CopyWorld, { target, signal }: CopyParts): Promise<Counts> {
  await using map = await world.openFilemap(target.file, { signal });
  const { data, zero, hole } = await map.statistics({ signal });
  return { method: 'reflink', mapMethod: map.method, data, zeros: zero + hole };
}

async function copyBytes(parts: CopyParts): Promise<Counts> {
  const counts = await copyContent(parts);
  return { method: 'copy', mapMethod: parts.source.map.method, ...counts };
}

/** @throws VBackupError VB_COPY_DIFFERS; VB_FILE_CHANGED where the source was written to meanwhile */
async function verify(parts: CopyParts, job: SparseCopyJob): Promise<void> {
  const { source, target, range, holes, signal } = parts;
  // What was left under holes is not the copy's.
  const isPartial = holes === 'leave' && !target.isFresh;
  const extents = isPartial ? source.map.dataRanges(range, { signal }) : wholeRange(range);
  const report = reporter(job, 'verify', range.length);
  try {
    await compareFiles({ ...parts, extents, onDone: report });
    report(range.length);
  } catch (error) {
    await source.checkUnchanged();
    throw error;
  }
}

const reporter =
  ({ onProgress }: SparseCopyJob, phase: SparseCopyProgress['phase'], length: number) =>
  (done: number): void =>
    onProgress?.({ phase, done, length });
