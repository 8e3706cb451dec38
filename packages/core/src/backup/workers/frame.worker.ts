import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { Adler32 } from '../../sparse-stream/adler32.js';
import { lz4Compressor } from '../../sparse-stream/lz4.js';
import { systemCode } from '../../storage/io-error.js';
import { DIGEST_LENGTH } from '../frame-digest/digest-algorithm.js';
import { digestOf } from '../frame-digest/frame-digest.js';
import {
  isJobBatch,
  type JobBatch,
  type Region,
  type ResultBatch,
  type Work,
  type WorkDone,
  type WorkResult,
} from './messages.js';
import { readStoredFrame } from './stored-frame.js';

// Runs in a worker thread: everything that costs processor time and needs no other thread's state. It reads regular
// files only: a thread that is blocked on a socket could not be terminated.

const FILE_PIECE_LENGTH = 1024 * 1024;
/** So much of a file is read for one job, or a little more. */
const FILE_SLICE_LENGTH = 16 * 1024 * 1024;
const EMPTY = new Uint8Array();

const batches: JobBatch[] = [];
/** What was begun and has not ended, by its number. */
const running = new Map<number, Sums>();

parentPort?.on('message', (message: unknown) => {
  if (isJobBatch(message) && batches.push(message) === 1) setImmediate(performNext);
});

/** One batch per turn of the event loop: what the collector found is given back between turns only. */
function performNext(): void {
  const [batch] = batches;
  if (batch === undefined) return;
  const done: ResultBatch = { results: batch.jobs.map(({ id, work }) => perform(id, work)) };
  parentPort?.postMessage(done);
  batches.shift();
  if (batches.length > 0) setImmediate(performNext);
}

function perform(id: number, work: Work): WorkResult {
  try {
    return { id, ...done(work) };
  } catch (error) {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
    return {
      id,
      error: error instanceof Error ? error.message : String(error),
      code: code ?? systemCode(error) ?? null,
    };
  }
}

function done(work: Work): Omit<WorkDone, 'id'> {
  switch (work.kind) {
    case 'encode':
      return encode(work);
    case 'decode':
      return decode(work);
    case 'load':
      return load(work);
    case 'add':
      return add(work);
    case 'digest':
      return digestFile(work);
  }
}

function encode({ algorithm, inputs, output }: Extract<Work, { kind: 'encode' }>): Omit<WorkDone, 'id'> {
  const digest = Buffer.alloc(inputs.length * DIGEST_LENGTH);
  const target = output === null ? null : bytesOf(output);
  const lengths: number[] = [];
  let length = 0;
  for (const [index, region] of inputs.entries()) {
    const input = bytesOf(region);
    digestOf(algorithm, input).copy(digest, index * DIGEST_LENGTH);
    const stored = target === null ? input.length : lz4Compressor.compressFrameInto(input, target.subarray(length));
    lengths.push(stored);
    length += stored;
  }
  return { digest, length, lengths, adler32: 0 };
}

function decode(work: Extract<Work, { kind: 'decode' }>): Omit<WorkDone, 'id'> {
  const input = bytesOf(work.input);
  if (work.output === null) return { digest: digestOf(work.algorithm, input), length: 0, adler32: 0 };
  const output = bytesOf(work.output);
  lz4Compressor.decompressFramesInto(input, output, work.start);
  return { digest: digestOf(work.algorithm, output), length: output.length, adler32: 0 };
}

function load({ algorithm, frame, output: region }: Extract<Work, { kind: 'load' }>): Omit<WorkDone, 'id'> {
  const output = bytesOf(region);
  readStoredFrame(frame, output);
  return { digest: digestOf(algorithm, output), length: output.length, adler32: 0 };
}

function add({ sum, input, adler32 }: Extract<Work, { kind: 'add' }>): Omit<WorkDone, 'id'> {
  const sums = running.get(sum) ?? startSums(adler32);
  if (input === null) {
    running.delete(sum);
    return { ...sums.end(), length: 0 };
  }
  sums.add(bytesOf(input));
  running.set(sum, sums);
  return { digest: EMPTY, length: 0, adler32: 0 };
}

function digestFile({ sum, path, offset, adler32 }: Extract<Work, { kind: 'digest' }>): Omit<WorkDone, 'id'> {
  const sums = running.get(sum) ?? startSums(adler32);
  // Kept only if there is more to come, and not where it cannot be read.
  running.delete(sum);
  const length = eachPiece({ path, offset }, sums.add);
  if (length < FILE_SLICE_LENGTH) return { ...sums.end(), length };
  running.set(sum, sums);
  return { digest: EMPTY, length, adler32: 0 };
}

interface Sums {
  readonly add: (bytes: Buffer) => void;
  readonly end: () => Pick<WorkDone, 'digest' | 'adler32'>;
}

/** Both are made of each piece while it is in the processor's cache. */
function startSums(withAdler32: boolean): Sums {
  const hash = createHash('sha256');
  const adler32 = withAdler32 ? new Adler32() : null;
  return {
    add: (bytes) => {
      adler32?.update(bytes);
      hash.update(bytes);
    },
    end: () => ({ digest: hash.digest(), adler32: adler32?.digest() ?? 0 }),
  };
}

/** @returns the length of the slice that begins at `offset`: a whole one, or what the file has of it */
function eachPiece(
  { path, offset }: { readonly path: string; readonly offset: number },
  take: (bytes: Buffer) => void,
): number {
  const piece = Buffer.allocUnsafe(FILE_PIECE_LENGTH);
  const file = openSync(path, 'r');
  let length = 0;
  try {
    while (length < FILE_SLICE_LENGTH) {
      const count = readSync(file, piece, 0, piece.length, offset + length);
      if (count === 0) break;
      take(piece.subarray(0, count));
      length += count;
    }
  } finally {
    closeSync(file);
  }
  return length;
}

const bytesOf = (region: Region): Buffer =>
  region.length === 0 ? Buffer.from(EMPTY) : Buffer.from(region.memory, region.offset, region.length);
