import { decompressFrames, decompressFramesInto } from './lz4-decode.js';
import { compressFrame, compressFrameInto } from './lz4-encode.js';

/** The one place where the compressor is chosen; both calls are synchronous and belong in a worker. */
export interface Compressor {
  /** Compresses into one LZ4 frame that names its content size. */
  compressFrame(bytes: Buffer): Buffer;
  /** The same to the beginning of `target`; returns its length. */
  compressFrameInto(bytes: Buffer, target: Buffer): number;
  /** Decodes LZ4 frames, concatenated, to exactly `length` bytes; `start` is their file offset, for errors. */
  decompressFrames(bytes: Buffer, length: number, start?: number): Buffer;
  /** The same, to fill `target`. */
  decompressFramesInto(bytes: Buffer, target: Buffer, start?: number): void;
}

/** LZ4 through lz4-napi's block calls, with the frame built here. */
export const lz4Compressor: Compressor = { compressFrame, compressFrameInto, decompressFrames, decompressFramesInto };
