import { VMA_BLOB_LENGTH_FIELD } from './words.js';

/** Blobs by the pointers that were asked for; a pointer that resolves to none is not there. */
export type BlobsByPointer = ReadonlyMap<number, Buffer>;

/**
 * Finds the blobs that pointers address. The buffer begins with a byte that is no blob, then come blobs without gaps: a
 * length of two bytes, little-endian, and that many bytes. A pointer must address the beginning of one of them, as the
 * original demands it; a blob that the buffer does not hold whole ends the list.
 *
 *     0  dummy | 1  u16 LE length, bytes | u16 LE length, bytes | …
 *
 * @param buffer - the blob buffer; views of it are returned
 */
export function findBlobs(buffer: Buffer, pointers: Iterable<number>): BlobsByPointer {
  const wanted = [...new Set(pointers)].sort((a, b) => a - b);
  const found = new Map<number, Buffer>();
  let next = 0;
  let at = 1;
  // Only the pointers are remembered: a buffer of zeros is millions of empty blobs.
  while (next < wanted.length && at + VMA_BLOB_LENGTH_FIELD <= buffer.length) {
    const start = at + VMA_BLOB_LENGTH_FIELD;
    const end = start + buffer.readUInt16LE(at);
    if (end > buffer.length) break;
    while (next < wanted.length && (wanted[next] ?? 0) < at) next += 1;
    if (wanted[next] === at) found.set(at, buffer.subarray(start, end));
    at = end;
  }
  return found;
}
