import { type Extent, totalLength } from '../../extent/index.js';
import type { SnapshotDisk, WithSignal } from '../../hypervisor/index.js';
import { CompareWriter } from '../compare/compare-writer.js';
import { copyDisk } from '../copy/copy-disk.js';
import { copyUnitOf } from '../copy/geometry.js';
import type { OnEvent } from '../events.js';
import type { ImageReader } from '../image.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { type AuditShare, auditExtents } from './audit-blocks.js';
import { DifferenceFinder, DifferenceFound } from './difference-finder.js';

export interface AuditOptions extends WithSignal {
  readonly disk: SnapshotDisk;
  /** The disk in the backup that `disk.changes` counts from. */
  readonly parent: ImageReader;
  readonly share: AuditShare;
  /** What the copy reads: ascending and disjoint. */
  readonly changed: readonly Extent[];
  readonly connections: number;
  readonly onEvent?: OnEvent | undefined;
}

export interface AuditResult {
  /** Bytes that are the parent's, holes included. */
  readonly length: number;
  /** The first bytes that are not; null if there are none. */
  readonly difference: Extent | null;
}

/**
 * Reads a share of what a copy leaves out, and compares it with the parent.
 * @throws DamagedFrameError a frame of the parent cannot be read
 */
export async function auditDisk(options: AuditOptions): Promise<AuditResult> {
  const { disk, parent, share, changed, signal, onEvent } = options;
  const { size } = disk;
  const audited = (alignment: number): Iterable<Extent> =>
    auditExtents({ size, changed, unit: copyUnitOf(alignment) }, share);
  if (totalLength(audited(1)) === 0) return { length: 0, difference: null };
  await using reader = await disk.open({ connections: options.connections, signal });
  const { alignment } = reader.limits;
  const planned = totalLength(audited(alignment));
  const started = performance.now();
  onEvent?.({ type: 'audit-start', disk: disk.name, ...share, planned });
  const onDamage = (error: Error): never => {
    throw error;
  };
  await using writer = new CompareWriter({
    inner: new DifferenceFinder(),
    parent,
    workers: sharedWorkers,
    onDamage,
    signal,
  });
  let compared = 0;
  const onProgress = (done: number): void => {
    compared = done;
    onEvent?.({ type: 'progress', disk: disk.name, done, planned });
  };
  const difference = await firstDifference(
    copyDisk({ reader, writer, size, extents: audited(alignment), onProgress, signal }),
  );
  const length = difference === null ? planned : compared;
  onEvent?.({ type: 'audit-done', disk: disk.name, length, difference, elapsedMs: performance.now() - started });
  return { length, difference };
}

async function firstDifference(comparison: Promise<unknown>): Promise<Extent | null> {
  try {
    await comparison;
    return null;
  } catch (error) {
    if (error instanceof DifferenceFound) return error.extent;
    throw error;
  }
}
