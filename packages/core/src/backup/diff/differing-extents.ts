import { type Extent, endOf, splitAt } from '../../extent/index.js';
import type { BlockLimits, WithSignal } from '../../hypervisor/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { PAGE_LENGTH } from '../copy/geometry.js';

/** So much of both sides is read in one piece … */
const PIECE_LENGTH = 1024 * 1024;
/** … and so many pieces at once. */
const PIECE_COUNT = 4;
const ZERO_PAGE = Buffer.alloc(PAGE_LENGTH);

/** What can be compared: a device, or a disk of a backup. */
export interface Readable {
  readonly size: number;
  readonly limits?: BlockLimits;
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;
}

/** Where two disks differ, and what is there in the newer one. */
export interface ChangedExtent extends Extent {
  readonly kind: 'data' | 'zero';
}

export interface DifferingOptions extends WithSignal {
  readonly from: Readable;
  readonly to: Readable;
  /** Bytes that are compared, from the start of both. */
  readonly size: number;
  /** Where they may differ: ascending and disjoint. Nothing else is read. */
  readonly candidates: AsyncIterable<Extent>;
  /** Everything before this offset is compared. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/**
 * Reads two disks where they may differ and says where they do, in whole pages of 64 KiB: ascending, neighbours differ in
 * kind. A side that ends early reads as zero from there on.
 */
export async function* differingExtents(options: DifferingOptions): AsyncGenerator<ChangedExtent> {
  let held: ChangedExtent | undefined;
  for await (const { offset, length, kind } of differingPages(options)) {
    if (held !== undefined && held.kind === kind && endOf(held) === offset) {
      held = { kind, offset: held.offset, length: held.length + length };
      continue;
    }
    if (held !== undefined) yield held;
    held = { kind, offset, length };
  }
  if (held !== undefined) yield held;
}

interface Piece {
  readonly extent: Extent;
  readonly differing: Promise<readonly ChangedExtent[]>;
}

/** Several pieces are read and compared at once, and told in order. */
async function* differingPages(options: DifferingOptions): AsyncGenerator<ChangedExtent> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const slots = new SlotPool({ count: 2 * PIECE_COUNT, length: PIECE_LENGTH });
  const pending: Piece[] = [];
  const told = async (piece: Piece | undefined): Promise<readonly ChangedExtent[]> => {
    const differing = (await piece?.differing) ?? [];
    if (piece !== undefined) options.onProgress?.(endOf(piece.extent));
    return differing;
  };
  try {
    for await (const extent of wholePages(options)) {
      if (pending.length === PIECE_COUNT) yield* await told(pending.shift());
      signal.throwIfAborted();
      const differing = compare(extent, { ...options, signal, slots });
      differing.catch(() => undefined);
      pending.push({ extent, differing });
    }
    while (pending.length > 0) yield* await told(pending.shift());
    options.onProgress?.(options.size);
  } finally {
    stop.abort();
    await Promise.allSettled(pending.map(({ differing }) => differing));
    slots[Symbol.dispose]();
  }
}

/** The candidates, grown to whole pages, joined, and cut into pieces that are read at once. */
async function* wholePages({ candidates, size }: DifferingOptions): AsyncGenerator<Extent> {
  let held: Extent | undefined;
  for await (const candidate of candidates) {
    const offset = Math.floor(candidate.offset / PAGE_LENGTH) * PAGE_LENGTH;
    const end = Math.min(size, Math.ceil(endOf(candidate) / PAGE_LENGTH) * PAGE_LENGTH);
    if (end <= offset) continue;
    if (held !== undefined && offset <= endOf(held)) {
      held = { offset: held.offset, length: Math.max(endOf(held), end) - held.offset };
    } else {
      if (held !== undefined) yield* splitAt([held], PIECE_LENGTH);
      held = { offset, length: end - offset };
    }
    // What lies before the last cut cannot grow any more.
    const cut = Math.floor(endOf(held) / PIECE_LENGTH) * PIECE_LENGTH;
    if (cut > held.offset && cut < endOf(held)) {
      yield* splitAt([{ offset: held.offset, length: cut - held.offset }], PIECE_LENGTH);
      held = { offset: cut, length: endOf(held) - cut };
    }
  }
  if (held !== undefined) yield* splitAt([held], PIECE_LENGTH);
}

type Comparison = Pick<DifferingOptions, 'from' | 'to'> & { readonly signal: AbortSignal; readonly slots: SlotPool };

async function compare(extent: Extent, options: Comparison): Promise<readonly ChangedExtent[]> {
  const { from, to, slots, signal } = options;
  const [left, right] = await Promise.all([slots.acquire({ signal }), slots.acquire({ signal })]);
  try {
    const reads = await Promise.allSettled([
      readPadded(from, extent, left.buffer, signal),
      readPadded(to, extent, right.buffer, signal),
    ]);
    for (const read of reads) if (read.status === 'rejected') throw read.reason;
    return [
      ...unequalPages(left.buffer.subarray(0, extent.length), right.buffer.subarray(0, extent.length), extent.offset),
    ];
  } finally {
    left.release();
    right.release();
  }
}

/** Keeps the limits of the device; what lies behind its end is zero. */
export async function readPadded(source: Readable, extent: Extent, slot: Buffer, signal: AbortSignal): Promise<void> {
  const { alignment, maximumRequest } = source.limits ?? { alignment: 1, maximumRequest: PIECE_LENGTH };
  const end = Math.min(source.size, Math.ceil(endOf(extent) / alignment) * alignment);
  const readable = Math.max(0, end - extent.offset);
  slot.fill(0, Math.min(readable, slot.length), extent.length);
  const reads: Promise<void>[] = [];
  for (let at = 0; at < readable; at += maximumRequest) {
    const target = slot.subarray(at, Math.min(readable, at + maximumRequest));
    reads.push(source.read(extent.offset + at, target, { signal }));
  }
  const ended = await Promise.allSettled(reads);
  for (const read of ended) if (read.status === 'rejected') throw read.reason;
}

function* unequalPages(left: Buffer, right: Buffer, offset: number): Generator<ChangedExtent> {
  if (left.equals(right)) return;
  for (let at = 0; at < right.length; at += PAGE_LENGTH) {
    const now = right.subarray(at, at + PAGE_LENGTH);
    if (left.subarray(at, at + PAGE_LENGTH).equals(now)) continue;
    const kind = now.equals(ZERO_PAGE.subarray(0, now.length)) ? 'zero' : 'data';
    yield { kind, offset: offset + at, length: now.length };
  }
}
