import { ProtocolError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import { decodeFrameHeader, FRAME_HEADER_LENGTH, requireTerminator, TERMINATOR } from './frame-header.js';
import { FrameSequence } from './frame-sequence.js';
import { MAX_META_LENGTH, parseMeta, type StreamMeta } from './meta.js';
import { NumberList } from './number-list.js';
import { SparseStreamIndex } from './stream-index.js';
import { TrailerParser } from './trailer-decode.js';
import { MAX_TRAILER_ENTRIES } from './trailer-encode.js';

/** What a scan wants of the file next: exactly these bytes. */
export interface ReadRequest {
  readonly read: Extent;
}

/** Yields what to read, and is given those bytes, or fewer where the file ends. */
export type Scan<T> = Generator<ReadRequest, T, Buffer>;

const PIECE_LENGTH = 64 * 1024;

/**
 * Finds all frames of a file without reading their payloads: plain ones are skipped by their length, compressed ones by
 * the sizes in the trailer.
 * @param fileLength - length of the file
 * @throws ProtocolError VB_SPARSE_…, as the streaming decoder, except for what only the payloads tell
 */
export function* scanSparseStream(fileLength: number): Scan<SparseStreamIndex> {
  const { meta, end } = yield* scanMeta(fileLength);
  const trailer = meta.compressed ? yield* scanTrailer(fileLength) : undefined;
  const index = new SparseStreamIndex(meta);
  const sequence = new FrameSequence(meta);
  let dataCount = 0;
  for (let at = end; ; ) {
    const header = decodeFrameHeader(yield* exactly(at, FRAME_HEADER_LENGTH, fileLength), at);
    const { kind, start: offset, length } = header;
    if (kind === 'stop') {
      sequence.stop(at);
      requireEnd({ at: at + FRAME_HEADER_LENGTH, streamEnd: trailer?.start ?? fileLength });
      if (trailer !== undefined && trailer.sizes.length !== dataCount) {
        const message = `trailer lists ${trailer.sizes.length} data frames, the stream has ${dataCount}`;
        throw new ProtocolError('VB_SPARSE_TRAILER', message, trailer.start);
      }
      return index;
    }
    if (kind !== 'data' && kind !== 'zero') {
      throw new ProtocolError('VB_SPARSE_FRAME', `${kind} frame between data frames`, at);
    }
    sequence.accept(header, at);
    let storedLength = 0;
    if (kind === 'data') {
      storedLength = trailer === undefined ? length : storedLengthOf(trailer, dataCount);
      dataCount += 1;
    }
    index.add({ offset, length, fileOffset: at, storedLength });
    at += FRAME_HEADER_LENGTH + storedLength;
    if (kind === 'zero') continue;
    requireTerminator(yield* exactly(at, TERMINATOR.length, fileLength), at);
    at += TERMINATOR.length;
  }
}

function* scanMeta(fileLength: number): Scan<{ readonly meta: StreamMeta; readonly end: number }> {
  const header = decodeFrameHeader(yield* exactly(0, FRAME_HEADER_LENGTH, fileLength), 0);
  if (header.kind !== 'meta') {
    throw new ProtocolError('VB_SPARSE_HEADER', `stream begins with a ${header.kind} frame`, 0);
  }
  if (header.length > MAX_META_LENGTH) {
    throw new ProtocolError('VB_SPARSE_LIMIT', `META of ${header.length} bytes, ${MAX_META_LENGTH} allowed`, 22);
  }
  const json = yield* exactly(FRAME_HEADER_LENGTH, header.length + TERMINATOR.length, fileLength);
  const at = FRAME_HEADER_LENGTH + header.length;
  requireTerminator(json.subarray(header.length), at);
  return { meta: parseMeta(json.subarray(0, header.length), FRAME_HEADER_LENGTH), end: at + TERMINATOR.length };
}

interface Trailer {
  readonly start: number;
  /** Stored length of each DATA frame. */
  readonly sizes: NumberList;
}

/** The last 40 bytes of the file say how long the list in front of them is. */
function* scanTrailer(fileLength: number): Scan<Trailer> {
  const headerAt = fileLength - FRAME_HEADER_LENGTH;
  if (headerAt < 0) throw new ProtocolError('VB_SPARSE_TRUNCATED', 'file is too short for a trailer', fileLength);
  const header = decodeFrameHeader(yield* exactly(headerAt, FRAME_HEADER_LENGTH, fileLength), headerAt);
  const end = headerAt - TERMINATOR.length;
  const start = end - header.length;
  if (header.kind !== 'comp' || start < 0) {
    const message = `file ends with a ${header.kind} frame of ${header.length} bytes, not with its trailer`;
    throw new ProtocolError('VB_SPARSE_TRAILER', message, headerAt);
  }
  requireTerminator(yield* exactly(end, TERMINATOR.length, fileLength), end);
  const sizes = new NumberList();
  const parser = new TrailerParser(start, ({ sum, parts }, at) => {
    if (sizes.length >= MAX_TRAILER_ENTRIES) {
      throw new ProtocolError('VB_SPARSE_LIMIT', `more than ${MAX_TRAILER_ENTRIES} entries in the trailer`, at);
    }
    if (sum === 0 || (parts !== undefined && parts.reduce((total, part) => total + part, 0) !== sum)) {
      throw new ProtocolError('VB_SPARSE_TRAILER', `parts of a trailer entry do not add up to ${sum}`, at);
    }
    sizes.push(sum);
  });
  while (parser.offset < end && !parser.done) {
    parser.push(yield* exactly(parser.offset, Math.min(PIECE_LENGTH, end - parser.offset), fileLength));
  }
  if (!parser.done || parser.offset !== end) {
    throw new ProtocolError('VB_SPARSE_TRAILER', `trailer does not end where its header says`, parser.offset);
  }
  return { start, sizes };
}

function storedLengthOf({ sizes, start }: Trailer, index: number): number {
  const size = sizes.at(index);
  if (size !== undefined) return size;
  throw new ProtocolError('VB_SPARSE_TRAILER', `trailer lists ${sizes.length} data frames, the stream has more`, start);
}

function requireEnd({ at, streamEnd }: { readonly at: number; readonly streamEnd: number }): void {
  if (at < streamEnd)
    throw new ProtocolError('VB_SPARSE_EXCESS', `${streamEnd - at} bytes behind the end of the stream`, at);
  if (at > streamEnd) throw new ProtocolError('VB_SPARSE_TRAILER', 'trailer begins before STOP ends', streamEnd);
}

function* exactly(offset: number, length: number, fileLength: number): Scan<Buffer> {
  const fits = length <= fileLength - offset;
  const bytes = fits ? yield { read: { offset, length } } : undefined;
  if (bytes?.length === length) return bytes;
  throw new ProtocolError('VB_SPARSE_TRUNCATED', `file ends early, ${length} bytes expected at ${offset}`, fileLength);
}
