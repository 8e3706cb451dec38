import { createReadStream } from 'node:fs';
import { abortError, VBackupError } from '../errors/index.js';
import type { VmaEvent } from './archive.js';
import { VmaDecoder, type VmaDecoderOptions } from './decoder.js';
import { openCompressed } from './decompress.js';
import type { PositionSource } from './position-file.js';
import { VMA_EXTENT_HEADER_LENGTH } from './words.js';

const CHUNK_LENGTH = 1024 * 1024;
/** Headers that are closer to each other than this are read together. */
const READ_AHEAD = 64 * 1024;

export interface ReadArchiveOptions extends VmaDecoderOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads an archive from its beginning to its end, whatever Proxmox compresses it with.
 * @throws ProtocolError VB_VMA_…; VBackupError VB_VMA_COMPRESSION, VB_UNSUPPORTED, VB_ABORTED, and what the source throws
 */
export async function* readArchive(
  source: AsyncIterable<Buffer>,
  { signal, ...options }: ReadArchiveOptions = {},
): AsyncGenerator<VmaEvent, void, undefined> {
  const { bytes } = await openCompressed(source, { signal });
  yield* decodeStream(bytes, { decoder: new VmaDecoder(options), signal });
}

export interface DecodeOptions {
  readonly decoder: VmaDecoder;
  readonly signal?: AbortSignal | undefined;
}

/** Pushes all of a source into a decoder, and tells it the end. */
export async function* decodeStream(
  source: AsyncIterable<Buffer>,
  { decoder, signal }: DecodeOptions,
): AsyncGenerator<VmaEvent, void, undefined> {
  for await (const chunk of source) {
    if (signal?.aborted === true) throw abortError(signal);
    yield* decoder.push(chunk);
  }
  yield* decoder.end();
}

/**
 * Reads the headers of an archive and leaves the stored blocks where they are.
 * @param options - `decoder` must want headers only
 */
export async function* decodeHeaders(
  file: PositionSource,
  { decoder, signal }: DecodeOptions,
): AsyncGenerator<VmaEvent, void, undefined> {
  let length = READ_AHEAD;
  while (decoder.position < file.size) {
    if (signal?.aborted === true) throw abortError(signal);
    const left = Math.min(decoder.skippable, file.size - decoder.position);
    // Long extents are worth a read for each header; of short ones many come with one read.
    if (left > 0) {
      length = left < READ_AHEAD ? READ_AHEAD : VMA_EXTENT_HEADER_LENGTH;
      yield* decoder.skip(left);
      continue;
    }
    const bytes = await file.readSome(decoder.position, decoder.searching ? READ_AHEAD : length);
    // The file became shorter while it was read.
    if (bytes.length === 0) break;
    yield* decoder.push(bytes);
    length = READ_AHEAD;
  }
  yield* decoder.end();
}

/** The bytes of a file. @throws VBackupError VB_IO, VB_ABORTED */
export async function* fileChunks(path: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  try {
    const source: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: CHUNK_LENGTH, signal });
    yield* source;
  } catch (cause) {
    if (signal?.aborted === true) throw abortError(signal);
    throw new VBackupError('VB_IO', `cannot read ${path}`, { cause });
  }
}
