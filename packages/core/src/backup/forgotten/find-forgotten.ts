import { alignOutward, clip, complement, type Extent, ExtentList, endOf, subtract, unite } from '../../extent/index.js';
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

/** Of more cuts between two backups than this nothing is known. Each of them can leave one unit that the search for the cut meets. */
const MAX_CUTS = 256;
/** Disks are cut at its multiples, and no bitmap is finer (include/block/block-common.h, BDRV_SECTOR_SIZE). */
const SECTOR = 512;
const ZEROS = Buffer.alloc(SECTOR);

/**
 * What changed on a disk though a forgetful record says that it did not (see `ForgetfulRecord`): ascending and disjoint.
 *
 * A disk that was cut in one of its blocks and grown again has behind that block only blocks that read as zero, blocks that
 * were written since, which the record knows, though it may know only a part of each, and, where it was cut again further back,
 * what that left in the blocks of those cuts. So these are all that can be wrong: blocks that are zero now and hold data in the
 * parent; what is called unchanged of blocks that changed in part; and the blocks of the cuts. The first are sure, the others are
 * compared.
 */
export async function findForgotten(options: ForgottenOptions): Promise<readonly Extent[]> {
  const { disk, parent, connections, signal } = options;
  const { size, changes } = disk;
  if (changes.kind === 'all' || changes.forgetful === undefined) return [];
  await using reader = await disk.open({ connections, signal });
  const whole = { offset: 0, length: size };
  const page = copyUnitOf(reader.limits.alignment);
  const unit = Math.max(page, changes.forgetful.blockLength);
  const inUnits = (length: number): readonly Extent[] => [...clip(alignOutward(changes.extents, length), whole)];
  const changed = inUnits(unit);
  const between = subtract(changed, inUnits(page));
  if (reader.allocation === undefined) return compare(reader, [...complement(inUnits(page), whole)], options);
  const { zeroed, held } = await surveyDisk({ reader, parent, size, changed, unit, signal });
  const cut = await blocksOfCuts(reader, { held, size, unit }, { signal });
  const different = await compare(reader, unite([...between], cut), options);
  return unite(zeroed, different);
}

interface Held {
  /** Whole units that hold data and did not change: ascending and disjoint. */
  readonly held: readonly Extent[];
  readonly size: number;
  readonly unit: number;
}

/**
 * Where the disk can have been cut: all units back to the last that was not behind the first cut. That one has data in its first
 * sector: a unit behind it was zero then, what is written to a first sector is known and stays known, for a later cut takes
 * either all of the unit with it, or nothing of the bitmap's block that holds that sector.
 */
async function blocksOfCuts(
  reader: BlockReader,
  { held, size, unit }: Held,
  options: WithSignal,
): Promise<readonly Extent[]> {
  const target = Buffer.alloc(Math.max(SECTOR, reader.limits.alignment));
  const units: Extent[] = [];
  for (const extent of held.toReversed()) {
    for (let offset = Math.floor((endOf(extent) - 1) / unit) * unit; offset >= extent.offset; offset -= unit) {
      units.push({ offset, length: Math.min(unit, size - offset) });
      if (units.length === MAX_CUTS) return units.toReversed();
      await reader.read(offset, target.subarray(0, reader.size - offset), options);
      if (!target.subarray(0, SECTOR).equals(ZEROS)) return units.toReversed();
    }
  }
  return units.toReversed();
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
