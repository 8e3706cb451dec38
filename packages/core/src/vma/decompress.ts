import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { abortError, ProtocolError, UnsupportedError, VBackupError } from '../errors/index.js';
import { type ArchiveCompression, COMPRESSION_MAGIC_LENGTH, compressionOf } from './compression.js';
import { StoppableSource } from './stoppable-source.js';
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
  const stoppable = new StoppableSource(source, options.signal);
  const compression = compressionOf(await stoppable.begin(COMPRESSION_MAGIC_LENGTH));
  return { compression, bytes: decompress(compression, stoppable, options) };
}

async function* decompress(
  compression: ArchiveCompression,
  source: StoppableSource,
  { signal }: DecompressOptions,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    switch (compression) {
      case 'none':
        return yield* source.bytes();
      case 'gzip':
        return yield* gunzip(source);
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

async function* through(
  input: AsyncIterable<Buffer>,
  transform: Transform,
  source: StoppableSource,
): AsyncGenerator<Buffer, void, undefined> {
  const pumped = settled(pipeline(input, transform));
  let complete = false;
  try {
    // Its output may end before its input does, which is to be looked at all the same: it is not destroyed for that.
    const output: AsyncIterable<Buffer> = transform.iterator({ destroyOnReturn: false });
    yield* output;
    const { error } = await pumped;
    if (error !== undefined) throw error;
    complete = true;
  } finally {
    // Also where the reader stopped early; the pipeline then ends the source, which may say nothing for a long time.
    if (!complete) source.leave();
    transform.destroy();
    await pumped;
  }
}

/** Of what follows the last member, zeros are padding; Node's decompressor ends without a word at a zero, whatever follows. */
async function* gunzip(source: StoppableSource): AsyncGenerator<Buffer, void, undefined> {
  const transform = createGunzip();
  let passed = 0;
  let end = 0;
  async function* noting(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of source.bytes()) {
      const last = chunk.findLastIndex((byte) => byte !== 0);
      if (last >= 0) end = passed + last + 1;
      passed += chunk.length;
      yield chunk;
    }
  }
  yield* through(noting(), transform, source);
  if (end <= transform.bytesWritten) return;
  const offset = transform.bytesWritten;
  throw new ProtocolError('VB_VMA_COMPRESSION', 'something that is not gzip follows the end of the archive', offset);
}

/** Every frame has a decompressor of its own: Node's ends with the first. */
async function* unzstd(source: StoppableSource): AsyncGenerator<Buffer, void, undefined> {
  const pieces = zstdPieces(source.bytes());
  try {
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      yield* through(oneFrame(next.value, pieces), createZstdDecompress(), source);
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
  source: StoppableSource,
  compression: keyof typeof PROGRAMS,
): AsyncGenerator<Buffer, void, undefined> {
  const { command, cure } = PROGRAMS[compression];
  const child = spawn(command, ['-d', '-c'], { stdio: 'pipe' });
  const closed = settled(once(child, 'close'));
  const complaint = collectComplaint(child.stderr);
  const fed = settled(pipeline(source.bytes(), child.stdin));
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
    // A program that is content with a part of the source, or with one that broke, does not make it whole.
    if (feeding.error !== undefined) throw feeding.error;
  } finally {
    source.leave();
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
