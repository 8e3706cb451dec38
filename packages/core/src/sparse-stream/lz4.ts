import type { Lz4Blocks } from './lz4-block.js';
import { lz4Blocks } from './lz4-blocks.js';
import { decompressFrames, decompressFramesInto } from './lz4-decode.js';
import { compressFrame, compressFrameInto } from './lz4-encode.js';

/** Whole LZ4 frames; all calls are synchronous and belong in a worker. */
export interface Compressor {
  /** Who does it, with a version where it is known. */
  readonly name: string;
  /** Compresses into one LZ4 frame that names its content size. */
  compressFrame(bytes: Buffer): Buffer;
  /** The same to the beginning of `target`; returns its length. */
  compressFrameInto(bytes: Buffer, target: Buffer): number;
  /** Decodes LZ4 frames, concatenated, to exactly `length` bytes; `start` is their file offset, for errors. */
  decompressFrames(bytes: Buffer, length: number, start?: number): Buffer;
  /** The same, to fill `target`. */
  decompressFramesInto(bytes: Buffer, target: Buffer, start?: number): void;
}

/** Frames that are built here, of blocks that `choose` compresses and decodes; it is asked at each call. */
export const compressorOf = (choose: () => Lz4Blocks): Compressor => ({
  get name() {
    return choose().name;
  },
  compressFrame: (bytes) => compressFrame(bytes, choose()),
  compressFrameInto: (bytes, target) => compressFrameInto(bytes, target, choose()),
  decompressFrames: (bytes, length, start) => decompressFrames(bytes, length, { start, blocks: choose() }),
  decompressFramesInto: (bytes, target, start) => decompressFramesInto(bytes, target, { start, blocks: choose() }),
});

/** LZ4 by the best that this machine has. */
export const lz4Compressor: Compressor = compressorOf(lz4Blocks);
