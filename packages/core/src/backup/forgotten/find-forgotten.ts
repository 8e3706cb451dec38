import { alignOutward, clip, complement, type Extent, ExtentList, subtract, unite } from '../../extent/index.js';
import type { BlockReader, SnapshotDisk, WithSignal } from '../../hypervisor/index.js';
import { CompareWriter } from '../compare/compare-writer.js';
import { copyDisk } from '../copy/copy-disk.js';
import { copyUnitOf } from '../copy/geometry.js';
import type { ImageReader, ImageWriter } from '../image.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { surveyDisk } from './survey-disk.js';

export interface ForgottenOptions extends WithSignal {
  readonly disk: SnapshotDisk;
  /** The disk in the backup that `disk.changes` counts from. */
  readonly parent: ImageReader;
  readonly connections: number;
}

/**
 * What changed on a disk though a forgetful record says that it did not (see `ForgetfulRecord`): ascending and disjoint.
 *
 * A disk that was cut in one of its blocks and grown again has behind that block only blocks that read as zero, and blocks that
 * were written since, which the record knows, though it may know only a part of each. So these are all that can be wrong:
 * blocks that are zero now and hold data in the parent; what is called unchanged of blocks that changed in part; and the
 * block of the cut, which no other block with data follows that did not change. The first are sure, the others are compared.
 */
export async function findForgotten(options: ForgottenOptions): Promise<readonly Extent[]> {
  const { disk, parent, connections, signal } = options;
  const { size, changes } = disk;
  if (changes.kind !== 'since' || changes.forgetful === undefined) return [];
  await using reader = await disk.open({ connections, signal });
  const whole = { offset: 0, length: size };
  const page = copyUnitOf(reader.limits.alignment);
  const unit = Math.max(page, changes.forgetful.blockLength);
  const inUnits = (length: number): readonly Extent[] => [...clip(alignOutward(changes.extents, length), whole)];
  const changed = inUnits(unit);
  const between = subtract(changed, inUnits(page));
  if (reader.allocation === undefined) return compare(reader, [...complement(inUnits(page), whole)], options);
  const { zeroed, last } = await surveyDisk({ reader, parent, size, changed, unit, signal });
  const different = await compare(reader, unite([...between], last), options);
  return unite(zeroed, different);
}

async function compare(
  reader: BlockReader,
  extents: readonly Extent[],
  { disk, parent, signal }: ForgottenOptions,
): Promise<readonly Extent[]> {
  if (extents.length === 0) return [];
  const inner = new DifferenceList();
  // What cannot be read of the parent counts as different: it is stored anew.
  const onDamage = (): void => undefined;
  await using writer = new CompareWriter({ inner, parent, workers: sharedWorkers, onDamage, signal });
  await copyDisk({ reader, writer, size: disk.size, extents, signal });
  return inner.extents;
}

/** Takes what differs, and notes only where it lies. */
class DifferenceList implements ImageWriter {
  readonly #list = new ExtentList();

  get extents(): readonly Extent[] {
    return this.#list.extents;
  }

  async data(offset: number, { length }: Buffer): Promise<void> {
    this.#list.add({ offset, length });
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#list.add({ offset, length });
  }

  async finish(): Promise<{ readonly dataLength: 0; readonly storedLength: 0 }> {
    return { dataLength: 0, storedLength: 0 };
  }

  async abort(): Promise<void> {}
}
