import { type AllocationExtent, endOf } from '../extent/index.js';

/** QEMU counts the length of a raw image in sectors, upward: behind the last byte it prints zeros. */
const SECTOR_LENGTH = 512;

export interface QemuMapOptions {
  /** Prints `"compressed"`, as QEMU does since 8.2. */
  readonly compressed?: boolean | undefined;
}

interface Entry {
  start: number;
  length: number;
  data: boolean;
}

/**
 * A complete map in the words of `qemu-img map -f raw --output=json`, piece by piece; QEMU's own begins and ends as this
 * one does, to the byte. What reads as zero is one entry, allocated or not.
 */
export async function* qemuMapJson(
  extents: AsyncIterable<AllocationExtent> | Iterable<AllocationExtent>,
  options: QemuMapOptions = {},
): AsyncGenerator<string, void, undefined> {
  let entry: Entry | undefined;
  let opening = '[';
  for await (const extent of padded(extents)) {
    const data = extent.kind === 'data';
    if (entry !== undefined && entry.data === data) {
      entry.length += extent.length;
      continue;
    }
    if (entry !== undefined) {
      yield `${opening}${entryText(entry, options)},\n`;
      opening = '';
    }
    entry = { start: extent.offset, length: extent.length, data };
  }
  yield entry === undefined ? `[${emptyText(options)}]\n` : `${opening}${entryText(entry, options)}]\n`;
}

async function* padded(
  extents: AsyncIterable<AllocationExtent> | Iterable<AllocationExtent>,
): AsyncGenerator<AllocationExtent, void, undefined> {
  let end = 0;
  for await (const extent of extents) {
    yield extent;
    end = endOf(extent);
  }
  const length = Math.ceil(end / SECTOR_LENGTH) * SECTOR_LENGTH - end;
  if (length > 0) yield { offset: end, length, kind: 'hole' };
}

function entryText({ start, length, data }: Entry, options: QemuMapOptions): string {
  const state = `"depth": 0, "present": true, "zero": ${!data}, "data": ${data}`;
  return `{ "start": ${start}, "length": ${length}, ${state}${compressedText(options)}, "offset": ${start}}`;
}

const emptyText = (options: QemuMapOptions): string =>
  `{ "start": 0, "length": 0, "depth": 0, "present": false, "zero": false, "data": false${compressedText(options)}}`;

const compressedText = ({ compressed }: QemuMapOptions): string => (compressed === true ? ', "compressed": false' : '');
