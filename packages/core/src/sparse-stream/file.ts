import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { abortError, VBackupError } from '../errors/index.js';
import { type ChainLink, type OrderedLink, orderChain } from './chain.js';
import { SparseStreamDecoder, type StreamEvent } from './decoder.js';
import type { StreamMeta } from './meta.js';
import { parsePeerDataName } from './peer-files.js';

const CHUNK_LENGTH = 256 * 1024;

/** How a file is read. */
export interface ReadStreamOptions {
  readonly signal?: AbortSignal | undefined;
}

/** One file of a chain on disk. */
export interface ChainFile extends ChainLink {
  readonly path: string;
}

/**
 * Reads a SparseStream file from its beginning to its end.
 * @throws ProtocolError VB_SPARSE_…, with the byte at which the file is faulty; VBackupError VB_IO, VB_ABORTED
 */
export async function* readSparseStream(
  path: string,
  { signal }: ReadStreamOptions = {},
): AsyncGenerator<StreamEvent, void, undefined> {
  const decoder = new SparseStreamDecoder();
  for await (const chunk of chunksOf(path, signal)) yield* decoder.push(chunk);
  decoder.end();
}

/**
 * Reads META only.
 * @throws ProtocolError VB_SPARSE_…; VBackupError VB_IO, VB_ABORTED
 */
export async function readStreamMeta(path: string, options: ReadStreamOptions = {}): Promise<StreamMeta> {
  for await (const event of readSparseStream(path, options)) if (event.type === 'meta') return event.meta;
  throw new VBackupError('VB_INTERNAL', `${path} ended without META or an error`);
}

/**
 * Reads META of the files of one disk, in any order, and orders them.
 * @throws ProtocolError VB_SPARSE_…; VBackupError VB_CHAIN_…, VB_IO, VB_ABORTED
 */
export async function readChain(
  paths: Iterable<string>,
  options: ReadStreamOptions = {},
): Promise<OrderedLink<ChainFile>[]> {
  const files: ChainFile[] = [];
  for (const path of paths) {
    const name = basename(path);
    files.push({ path, name, level: parsePeerDataName(name)?.level, meta: await readStreamMeta(path, options) });
  }
  return orderChain(files);
}

async function* chunksOf(path: string, signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
  try {
    const source: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: CHUNK_LENGTH, signal });
    yield* source;
  } catch (cause) {
    if (signal?.aborted === true) throw abortError(signal);
    throw new VBackupError('VB_IO', `cannot read ${path}`, { cause });
  }
}

/** Where the content of a disk goes. Ranges come ascending within one file, and again from 0 with the next. */
export interface ImageTarget {
  write(offset: number, bytes: Buffer): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
}

/**
 * Writes the image that the files of a chain describe, in the order they are given; see {@link readChain}. ZERO frames are
 * zeros, in an increment as well. `bytes` belongs to the target until its promise settles.
 * @throws what {@link readSparseStream} throws
 */
export async function applyFiles(
  paths: Iterable<string>,
  target: ImageTarget,
  options: ReadStreamOptions = {},
): Promise<void> {
  for (const path of paths) {
    for await (const event of readSparseStream(path, options)) {
      if (event.type === 'data') await target.write(event.offset, event.bytes);
      if (event.type === 'zero') await target.zero(event.offset, event.length);
    }
  }
}
