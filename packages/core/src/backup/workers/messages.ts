import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import type { StoredFrame } from './stored-frame.js';

// No schema library here: a worker that loads one takes twice as long to start.

/** A piece of shared memory, as it goes to a worker. */
export interface Region {
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly length: number;
}

export type Work =
  /** The digests of all `inputs`; with an `output`, also an LZ4 frame of each there, one behind the other. */
  | {
      readonly kind: 'encode';
      readonly algorithm: DigestAlgorithm;
      readonly inputs: readonly Region[];
      readonly output: Region | null;
    }
  /** Decodes `input` (LZ4 frames, at `start` in their file) to fill `output` (without one, `input` is it); its digest. */
  | {
      readonly kind: 'decode';
      readonly algorithm: DigestAlgorithm;
      readonly input: Region;
      readonly output: Region | null;
      readonly start: number;
    }
  /** Reads a frame from its file and decodes it to fill `output`; its digest. */
  | {
      readonly kind: 'load';
      readonly algorithm: DigestAlgorithm;
      readonly frame: StoredFrame;
      readonly output: Region;
    }
  /**
   * The next piece of what this worker keeps the SHA-256 of, by its number, and the Adler-32 if its first job wants it. The last job
   * has no piece, and is answered with them.
   */
  | { readonly kind: 'add'; readonly sum: number; readonly input: Region | null; readonly adler32: boolean }
  /**
   * The next slice of a file, of which this worker keeps the SHA-256 by a number, and the Adler-32 if the first job wants it. The job
   * that comes to the end of the file is answered with them: others of this worker wait for no more than a slice.
   */
  | {
      readonly kind: 'digest';
      readonly sum: number;
      readonly path: string;
      readonly offset: number;
      readonly adler32: boolean;
    };

export interface Job {
  readonly id: number;
  readonly work: Work;
}

export interface WorkDone {
  readonly id: number;
  /** Of a frame's bytes, of several one behind the other, or a file's SHA-256; empty where more pieces of a file come. */
  readonly digest: Uint8Array;
  /** Bytes in `output`, or of the slice of a file. */
  readonly length: number;
  /** Of each frame of an `encode` in `output`; without that, on the disk. */
  readonly lengths?: readonly number[];
  readonly adler32: number;
}

export interface WorkFailed {
  readonly id: number;
  readonly error: string;
  readonly code: string | null;
}

export type WorkResult = WorkDone | WorkFailed;

/** What goes to a worker in one message, and comes back in one: of small frames, messages would cost more than the work. */
export interface JobBatch {
  readonly jobs: readonly Job[];
}

/** Answers to all jobs of one batch. */
export interface ResultBatch {
  readonly results: readonly WorkResult[];
}

/** Whether a message that came from the pool is a batch of jobs: nobody else writes to the port. */
export const isJobBatch = (message: unknown): message is JobBatch =>
  typeof message === 'object' && message !== null && 'jobs' in message && Array.isArray(message.jobs);

/** Whether a message that came from a worker is a batch of answers. */
export const isResultBatch = (message: unknown): message is ResultBatch =>
  typeof message === 'object' && message !== null && 'results' in message && Array.isArray(message.results);
