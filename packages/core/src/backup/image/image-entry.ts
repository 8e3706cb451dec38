import assert from 'node:assert/strict';
import type { Extent } from '../../extent/index.js';
import type { EncodedFrame, SparseStreamEncoder } from '../../sparse-stream/encoder.js';
import { FRAME_HEADER_LENGTH } from '../../sparse-stream/frame-header.js';
import { DIGEST_LENGTH } from '../frame-digest/digest-algorithm.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import type { ImagePiece } from '../image.js';
import type { StoredFrame, StoredFrames } from './frame-encoder.js';

const NO_DIGEST = Buffer.alloc(DIGEST_LENGTH);

/** Frames that are encoded together and written one behind the other, and who waits for that. */
export interface FramesEntry {
  readonly kind: 'frames';
  /** In order; without bytes, a ZERO frame. */
  readonly pieces: readonly ImagePiece[];
  /** Of the pieces that have bytes. */
  readonly stored: Promise<StoredFrames>;
  /** Whether `stored` has settled well. */
  ready: boolean;
  readonly settle: Settle;
}

/** Zeros of an increment, which are data like others, and may be a whole disk. */
export interface ZerosEntry extends Extent {
  readonly kind: 'zeros';
  readonly settle: Settle;
}

export type Entry = FramesEntry | ZerosEntry;

export interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** An entry that becomes ready when its frames are. */
export function framesEntry(pieces: readonly ImagePiece[], stored: Promise<StoredFrames>, settle: Settle): FramesEntry {
  const entry: FramesEntry = { kind: 'frames', pieces, stored, ready: false, settle };
  stored.then(
    () => {
      entry.ready = true;
    },
    () => undefined,
  );
  return entry;
}

/** A frame as it goes to the file and to the index. */
export interface PlacedFrame {
  readonly encoded: EncodedFrame;
  readonly record: FrameRecord;
}

/** The next DATA frame of a stream. */
export function placeData(stream: SparseStreamEncoder, { offset, length }: Extent, frame: StoredFrame): PlacedFrame {
  const encoded = stream.data(offset, length, frame.stored);
  return { encoded, record: recordOf({ kind: 'data', offset, length, encoded, digest: frame.digest }) };
}

/** All frames of an entry, in order. @param stored - those of its pieces that have bytes */
export function placeEntry(
  stream: SparseStreamEncoder,
  { pieces }: FramesEntry,
  stored: StoredFrames,
): readonly PlacedFrame[] {
  const frames = stored.frames.values();
  return pieces.map((piece) => {
    const { offset, length } = piece;
    if (piece.bytes === null) {
      const encoded = stream.zero(offset, length);
      return { encoded, record: recordOf({ kind: 'zero', offset, length, encoded, digest: NO_DIGEST }) };
    }
    const { value } = frames.next();
    assert.ok(value !== undefined, 'a frame is missing');
    return placeData(stream, piece, value);
  });
}

const recordOf = (
  frame: Omit<FrameRecord, 'fileOffset' | 'storedLength'> & { encoded: EncodedFrame },
): FrameRecord => ({
  kind: frame.kind,
  offset: frame.offset,
  length: frame.length,
  fileOffset: frame.encoded.fileOffset + FRAME_HEADER_LENGTH,
  storedLength: frame.encoded.storedLength,
  digest: frame.digest,
});
