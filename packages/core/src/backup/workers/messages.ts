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
  /** The digest of `input`; with an `output`, also one LZ4 frame of it there. */
  | {
      readonly kind: 'encode';
      readonly algorithm: DigestAlgorithm;
      readonly input: Region;
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
  /** The next pieces of what this worker keeps the SHA-256 of, by its number. The last job of it is answered with the digest. */
  | {
      readonly kind: 'add';
      readonly sum: number;
      readonly pieces: readonly Region[];
      readonly last: boolean;
    }
  /** SHA-256 or Adler-32 of a whole file. */
  | { readonly kind: 'digest'; readonly path: string; readonly sum: 'sha256' | 'adler32' };

export interface Job {
  readonly id: number;
  readonly work: Work;
}

export interface WorkDone {
  readonly id: number;
  /** Of a frame's bytes, or a file's SHA-256; of a file's Adler-32 it is empty. */
  readonly digest: Uint8Array;
  /** Bytes in `output`, or of the file. */
  readonly length: number;
  readonly adler32: number;
}

export interface WorkFailed {
  readonly id: number;
  readonly error: string;
  readonly code: string | null;
}

export type WorkResult = WorkDone | WorkFailed;

/** Whether a message that came from the pool is a job: nobody else writes to the port. */
export const isJob = (message: unknown): message is Job =>
  typeof message === 'object' && message !== null && 'id' in message && 'work' in message;

/** Whether a message that came from a worker is an answer. */
export const isResult = (message: unknown): message is WorkResult =>
  typeof message === 'object' && message !== null && 'id' in message && ('error' in message || 'digest' in message);
