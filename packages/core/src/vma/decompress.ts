import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { abortError, UnsupportedError, VBackupError } from '../errors/index.js';
import { type ArchiveCompression, COMPRESSION_MAGIC_LENGTH, compressionOf } from './compression.js';
import { ZstdFrames } from './zstd-frame-flags.js';

/** What is kept of a program's complaints. */
const MAX_STDERR_LENGTH = 4096;

const PROGRAMS = {
  lzo: { command: 'lzop', cure: 'install it; on Debian: apt install lzop' },
  bzip2: { command: 'bzip2', cure: 'install it; on Debian: apt install bzip2' },
} as const;

export interface DecompressOptions {
  readonly signal?: AbortSignal | undefined;
}

/** A source and what it is inside of. */
export interface Opened {
  readonly compression: ArchiveCompression;
  /** The bytes of the archive. Ending it early is no error, and ends what decompresses. */
  readonly bytes: AsyncGenerator<Buffer, void, undefined>;
}

/**
 * Looks at the first bytes of a source and decompresses it accordingly: zstd (any number of frames) and gzip with Node, lzo
 * and bzip2 with `lzop` and `bzip2`.
 * @throws VBackupError, when read: VB_VMA_COMPRESSION; VB_UNSUPPORTED if the program is missing; VB_ABORTED
 */
export async function openCompressed(source: AsyncIterable<Buffer>, options: DecompressOptions = {}): Promise<Opened> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  let length = 0;
  while (length < COMPRESSION_MAGIC_LENGTH) {
    const next = await iterator.next();
    if (next.done === true) break;
    first.push(next.value);
    length += next.value.length;
  }
  const begin = Buffer.concat(first);
  const compression = compressionOf(begin);
  return { compression, bytes: decompress(compression, resume(begin, iterator), options) };
}

/** The whole source again, its beginning put back. */
async function* resume(begin: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  try {
    if (begin.length > 0) yield begin;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}

async function* decompress(
  compression: ArchiveCompression,
  source: AsyncGenerator<Buffer, void, undefined>,
  { signal }: DecompressOptions,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    switch (compression) {
      case 'none':
        return yield* source;
      case 'gzip':
        return yield* through(source, createGunzip());
      case 'zstd':
        return yield* unzstd(source);
      case 'lzo':
      case 'bzip2':
        return yield* throughProgram(source, compression);
    }
  } catch (cause) {
    if (signal?.aborted === true) throw abortError(signal);
    if (cause instanceof VBackupError) throw cause;
    throw new VBackupError('VB_VMA_COMPRESSION', `cannot decompress the ${compression} archive`, { cause });
  }
}

async function* through(source: AsyncIterable<Buffer>, transform: Transform): AsyncGenerator<Buffer, void, undefined> {
  const pumped = settled(pipeline(source, transform));
  try {
    const output: AsyncIterable<Buffer> = transform;
    yield* output;
  } finally {
    // Also where the reader stopped early; the pipeline then ends the source.
    transform.destroy();
    await pumped;
  }
}

/** Every frame has a decompressor of its own: Node's ends with the first. */
async function* unzstd(source: AsyncGenerator<Buffer, void, undefined>): AsyncGenerator<Buffer, void, undefined> {
  const pieces = zstdPieces(source);
  try {
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      yield* through(oneFrame(next.value, pieces), createZstdDecompress());
    }
  } finally {
    await pieces.return();
  }
}

type ZstdPieces = AsyncGenerator<{ readonly bytes: Buffer; readonly last: boolean }, void, undefined>;

async function* zstdPieces(source: AsyncIterable<Buffer>): ZstdPieces {
  const frames = new ZstdFrames();
  for await (const chunk of source) yield* frames.push(chunk);
  frames.end();
}

/** The pieces up to the end of a frame; the others stay where they are. */
async function* oneFrame(
  first: { readonly bytes: Buffer; readonly last: boolean },
  pieces: ZstdPieces,
): AsyncGenerator<Buffer, void, undefined> {
  let piece = first;
  while (true) {
    yield piece.bytes;
    if (piece.last) return;
    const next = await pieces.next();
    if (next.done === true) return;
    piece = next.value;
  }
}

async function* throughProgram(
  source: AsyncIterable<Buffer>,
  compression: keyof typeof PROGRAMS,
): AsyncGenerator<Buffer, void, undefined> {
  const { command, cure } = PROGRAMS[compression];
  const child = spawn(command, ['-d', '-c'], { stdio: 'pipe' });
  const closed = settled(once(child, 'close'));
  const complaint = collectComplaint(child.stderr);
  const fed = settled(pipeline(source, child.stdin));
  try {
    const output: AsyncIterable<Buffer> = child.stdout;
    yield* output;
    const end = await closed;
    if (isMissing(end.error)) {
      throw new UnsupportedError('VB_UNSUPPORTED', `${command} is not installed, or not in PATH`, { cure });
    }
    // What ended the source counts more than what the program says of it.
    const feeding = await fed;
    if (feeding.error instanceof VBackupError) throw feeding.error;
    if (child.exitCode !== 0) throw new VBackupError('VB_VMA_COMPRESSION', `${command} ended: ${complaint()}`);
  } finally {
    // Nothing happens to a program that has ended; one whose reader stopped early is not waited for.
    child.kill();
    child.stdout.destroy();
    child.stdin.destroy();
    await closed;
    await fed;
  }
}

function collectComplaint(stderr: Readable): () => string {
  let text = '';
  stderr.setEncoding('utf8');
  stderr.on('data', (part: string) => {
    if (text.length < MAX_STDERR_LENGTH) text = (text + part).slice(0, MAX_STDERR_LENGTH);
  });
  return () => text.trim() || 'it does not say why';
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** The outcome of a promise, as a value: it is looked at when its turn comes, and never an unhandled rejection. */
async function settled(promise: Promise<unknown>): Promise<{ readonly error: unknown }> {
  try {
    await promise;
    return { error: undefined };
  } catch (error) {
    return { error };
  }
}
