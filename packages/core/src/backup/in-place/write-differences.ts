import { splitAt } from '../../extent/index.js';
import type { BlockDevice, WithSignal } from '../../hypervisor/index.js';
import { type Slot, SlotPool } from '../../memory/slot-pool.js';
import { TargetWriter } from '../copy/target-writer.js';
import { type ChangedExtent, differingExtents } from '../diff/differing-extents.js';
import { unlikeFrames } from '../diff/unlike-frames.js';
import type { ImageReader } from '../image.js';

/** So much of the backup is read in one piece … */
const PIECE_LENGTH = 1024 * 1024;
/** … and so many pieces wait to be written. */
const PIECE_COUNT = 4;

export interface WriteDifferences extends WithSignal {
  readonly image: ImageReader;
  /** Finished by the caller. Not shorter than the image; what lies behind its end stays. */
  readonly device: BlockDevice;
  /** Everything before this offset is compared. */
  readonly onProgress: (done: number) => void;
  /** Called before so many bytes are written. */
  readonly onWrite: (length: number) => void;
}

/**
 * Makes a device equal to an image, in pages of 64 KiB. Frames are compared by the digest of the device's bytes; only where that
 * is another one the frame is read. Comparing runs ahead of writing, and never looks at what was written.
 */
export async function writeDifferences(options: WriteDifferences): Promise<void> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const { image, device, onProgress, onWrite } = options;
  const slots = new SlotPool({ count: PIECE_COUNT, length: PIECE_LENGTH });
  const writing = new Set<Promise<void>>();
  const track = (write: Promise<void>): void => {
    const tracked = write.finally(() => writing.delete(tracked));
    // The first failure ends the comparison, and with it this.
    tracked.catch((error: unknown) => stop.abort(error));
    writing.add(tracked);
  };
  await using writer = new TargetWriter({ target: device, signal });
  const write = async ({ kind, offset, length }: ChangedExtent, slot: Slot): Promise<void> => {
    try {
      if (kind === 'zero') return await writer.zero(offset, length);
      const bytes = slot.buffer.subarray(0, length);
      await image.read(offset, bytes, { signal });
      await writer.data(offset, bytes);
    } finally {
      slot.release();
    }
  };
  try {
    const candidates = unlikeFrames({ from: image, to: device, signal });
    const question = { from: device, to: image, size: image.size, candidates, onProgress, signal };
    for await (const { kind, offset, length } of differingExtents(question)) {
      onWrite(length);
      const pieces = kind === 'zero' ? [{ offset, length }] : splitAt([{ offset, length }], PIECE_LENGTH);
      // Zeros need no memory, but nothing else bounds how many of them wait.
      for (const piece of pieces) track(write({ kind, ...piece }, await slots.acquire({ signal })));
    }
    await Promise.all(writing);
    // One that failed before is not among them.
    signal.throwIfAborted();
    await writer.finish();
  } finally {
    stop.abort();
    await Promise.allSettled(writing);
    slots[Symbol.dispose]();
  }
}
