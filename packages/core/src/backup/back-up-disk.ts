import { type Extent, totalLength, unite } from '../extent/index.js';
import type { Warning } from '../hypervisor/index.js';
import { pacedReader } from '../pace/paced.js';
import type { CompareWriter } from './compare/compare-writer.js';
import { copyDisk } from './copy/copy-disk.js';
import type { PlanOptions } from './copy/plan-copy.js';
import { plannedData, plannedLength } from './copy/planned-data.js';
import { type DiskDecision, methodOf } from './decide-level.js';
import type { DamagedFrameError } from './image/damaged-frame.js';
import type { ImageReader, ImageWriter } from './image.js';
import type { BackupJob } from './jobs.js';
import type { BackupDraft, CommitRecord, Tip } from './repository.js';
import { sharedWorkers } from './workers/worker-pool.js';

/** What a commit records of one disk. */
export type DiskRecord = CommitRecord['disks'][number];

export interface DiskBackup {
  readonly job: BackupJob;
  readonly draft: BackupDraft;
  readonly tip: Tip;
  readonly connections: number;
  /** Disks that are copied at the same time and share the memory, this one included. */
  readonly disksAtOnce: number;
  readonly warn: (warning: Warning, disk: string) => void;
}

/** Copies one frozen disk into a draft, as was decided. Every reader is closed when it returns. */
export async function backUpDisk(decision: DiskDecision, backup: DiskBackup): Promise<DiskRecord> {
  const { draft, connections, disksAtOnce } = backup;
  const { onEvent, limiter, signal } = backup.job;
  const { disk, level, reason, detail } = decision;
  const { name, id, label, size } = disk;
  const started = performance.now();
  const extents = extentsOf(decision);
  const planned = totalLength(extents);
  onEvent?.({ type: 'disk-start', disk: name, size, level, reason, detail, planned });
  await using _workers = sharedWorkers.lease({ work: planned });
  await using opened = await disk.open({ connections, signal });
  const reader = limiter === undefined ? opened : pacedReader(opened, limiter);
  await using parent = await openParent(decision, backup);
  const dataLength = await dataOf(decision, { reader, size, extents, signal });
  const inner = await draft.disk({ name, id, label, size, level, disksAtOnce, plannedData: dataLength });
  await using comparison = parent === null ? null : await comparisonOf({ inner, parent, disk: name }, backup);
  const writer = comparison ?? inner;
  const onProgress = (done: number): void =>
    onEvent?.({ type: 'progress', disk: name, done: Math.min(done, planned), planned });
  const { readLength } = await copyDisk({ reader, writer, size, extents, disksAtOnce, onProgress, signal });
  const summary = await writer.finish({ signal });
  const elapsedMs = performance.now() - started;
  const { dataLength: data, storedLength: stored } = summary;
  onEvent?.({ type: 'disk-done', disk: name, read: readLength, data, stored, elapsedMs });
  return { name, id, label, size, level, reason, detail, method: methodOf(decision), readLength };
}

/** What the copy will give to the draft. Where it is compared first, that is a guess: all data has changed, and no zeros. */
function dataOf({ disk, level }: DiskDecision, plan: Omit<PlanOptions, 'unit'>): Promise<number> {
  const isKnown = isStanding(level) && disk.changes.kind !== 'compare';
  return isKnown ? Promise.resolve(plannedLength(plan)) : plannedData(plan);
}

function extentsOf({ disk, level, forgotten = [] }: DiskDecision): readonly Extent[] {
  const { size, changes } = disk;
  if (!isStanding(level) || changes.kind === 'all') return [{ offset: 0, length: size }];
  return forgotten.length === 0 ? changes.extents : unite(changes.extents, forgotten);
}

/** What a disk is compared with; null if what changed is known, or does not matter. */
async function openParent({ disk, level }: DiskDecision, { job, tip }: DiskBackup): Promise<ImageReader | null> {
  if (!isStanding(level) || disk.changes.kind !== 'compare' || tip.kind !== 'backup') return null;
  return job.repository.openImage(tip.manifest, disk.name, { signal: job.signal });
}

async function comparisonOf(
  { disk, ...parts }: { readonly inner: ImageWriter; readonly parent: ImageReader; readonly disk: string },
  { job, warn }: DiskBackup,
): Promise<CompareWriter> {
  const { CompareWriter } = await import('./compare/compare-writer.js');
  let told = false;
  const onDamage = ({ code, message }: DamagedFrameError): void => {
    if (!told) warn({ code, message: `cannot be compared, so it is stored anew: ${message}` }, disk);
    told = true;
  };
  return new CompareWriter({ ...parts, workers: sharedWorkers, onDamage, signal: job.signal });
}

const isStanding = (level: DiskDecision['level']): boolean => level === 'inc' || level === 'diff';
