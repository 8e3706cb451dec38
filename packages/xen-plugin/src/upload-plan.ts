import type { Extent } from '@vbackup/core';
import { writeUInt64LE } from '@vbackup/core/bytes';
import { clip, coalesce, endOf, splitAt } from '@vbackup/core/extent';

/** Long enough that headers cost nothing, short enough for the receiver's memory. */
export const UPLOAD_CHUNK_LENGTH = 4 * 1024 * 1024;
const HEADER_LENGTH = 12;
/** An offset and length of zero end the upload. */
export const UPLOAD_END = Buffer.alloc(HEADER_LENGTH);

/** The body of a chunked upload, before its first byte is known. */
export interface UploadPlan {
  readonly chunks: readonly Extent[];
  readonly contentLength: number;
}

/**
 * Cuts what will be written into chunks of `import_raw_vdi?chunked=true`, ascending, none of them empty:
 *
 *     0    8    12           12+length
 *     | offset | length | data … |  repeated, then twelve zero bytes; numbers are little-endian
 */
export function planUpload(data: Iterable<Extent>, size: number): UploadPlan {
  const chunks = [...splitAt(coalesce(clip(data, { offset: 0, length: size })), UPLOAD_CHUNK_LENGTH)];
  const contentLength = chunks.reduce((sum, { length }) => sum + HEADER_LENGTH + length, UPLOAD_END.length);
  return { chunks, contentLength };
}

function encodeChunkHeader({ offset, length }: Extent): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  writeUInt64LE(header, offset, 0);
  header.writeUInt32LE(length, 8);
  return header;
}

/** One piece of the upload's body: a header, or the next bytes of the disk. */
export type UploadPiece =
  | { readonly kind: 'header'; readonly bytes: Buffer }
  | { readonly kind: 'data'; readonly extent: Extent };

/** Walks through the planned chunks as the bytes of the disk come, in ascending order. */
export class UploadCursor {
  readonly #chunks: readonly Extent[];
  #index = 0;
  /** Within the chunk; 0 before its header is sent. */
  #done = 0;

  constructor(plan: UploadPlan) {
    this.#chunks = plan.chunks;
  }

  /** The offset of the next byte that the plan wants, or null when all were sent. */
  get position(): number | null {
    const chunk = this.#chunks[this.#index];
    return chunk === undefined ? null : chunk.offset + this.#done;
  }

  /** The pieces up to `end`, which are sent before the next call. */
  *advance(end: number): Generator<UploadPiece> {
    for (let chunk = this.#chunks[this.#index]; chunk !== undefined; chunk = this.#chunks[this.#index]) {
      const offset = chunk.offset + this.#done;
      if (offset >= end) return;
      if (this.#done === 0) yield { kind: 'header', bytes: encodeChunkHeader(chunk) };
      const length = Math.min(end, endOf(chunk)) - offset;
      this.#done += length;
      if (this.#done === chunk.length) {
        this.#index += 1;
        this.#done = 0;
      }
      yield { kind: 'data', extent: { offset, length } };
    }
  }
}
