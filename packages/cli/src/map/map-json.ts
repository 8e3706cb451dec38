import type { AllocationKind } from '@vbackup/core';

/** QEMU counts in sectors. */
const SECTOR_LENGTH = 512;

interface Piece {
  readonly offset: number;
  readonly length: number;
  readonly kind: AllocationKind;
}

export interface MapJsonOptions {
  /** Whether a byte of the disk lies where it lies in the source, as in a raw image. */
  readonly offsets: boolean;
  /** The end of a complete map: it is filled up to whole sectors, as QEMU does. */
  readonly size?: number | undefined;
}

/**
 * Extents in the words of `qemu-img map --output=json`, piece by piece: one array, one line per entry. An allocated zero
 * is `zero` and `data`, as QEMU reads `base:allocation`; of what is not allocated and reads as anything it says less: it is
 * data here.
 */
export async function* mapJson(extents: AsyncIterable<Piece>, options: MapJsonOptions): AsyncGenerator<string> {
  let opening = '[';
  for await (const { offset, length, kind } of extents) {
    const flags = `"zero": ${kind !== 'data'}, "data": ${kind !== 'hole'}`;
    yield `${opening}${entry({ offset, length, flags })}${options.offsets ? `, "offset": ${offset}` : ''}}`;
    opening = ',\n';
  }
  const tail = options.size === undefined ? 0 : Math.ceil(options.size / SECTOR_LENGTH) * SECTOR_LENGTH - options.size;
  if (tail > 0) {
    yield `${opening}${entry({ offset: options.size ?? 0, length: tail, flags: '"zero": true, "data": false' })}}`;
    opening = ',\n';
  }
  // QEMU has an entry for an empty disk too.
  if (options.size === 0) yield `[${EMPTY}`;
  yield opening === '[' && options.size !== 0 ? '[]\n' : ']\n';
}

const EMPTY = '{ "start": 0, "length": 0, "depth": 0, "present": false, "zero": false, "data": false}';

const entry = ({ offset, length, flags }: { offset: number; length: number; flags: string }): string =>
  `{ "start": ${offset}, "length": ${length}, "depth": 0, "present": true, ${flags}`;
