import { Worker } from 'node:worker_threads';
import { VBackupError } from '../../errors/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { atEndOfTurn } from '../../memory/end-of-turn.js';
import { ioError } from '../../storage/io-error.js';
import { DIGEST_LENGTH, type DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import {
  isResultBatch,
  type Job,
  type JobBatch,
  type Region,
  type Work,
  type WorkDone,
  type WorkResult,
} from './messages.js';
import type { StoredFrame } from './stored-frame.js';

/** A slice of a file keeps a worker busy for as long as many frames, and others follow it. */
const FILE_WEIGHT = 1000;
/** Jobs of one turn go to a worker in one message: so many, or so many bytes and one job more. */
const BATCH_JOBS = 32;
const BATCH_BYTES = 1024 * 1024;
/** A thread takes 40 ms of processor time to start, in which one that is there hashes and compresses as many bytes. */
const WORTH_A_THREAD = 16 * 1024 * 1024;
/** Where nobody said how much will come, another thread starts when so many bytes wait for those that are there. */
const BACKLOG = 2 * 1024 * 1024;

interface Pending {
  readonly weight: number;
  readonly bytes: number;
  readonly resolve: (done: WorkDone) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
  load: number;
  /** Bytes of what it was given and has not answered. */
  backlog: number;
  /** What leaves in the next message. */
  batch: Job[];
  batchBytes: number;
}

/** A frame that a worker reads and decodes. */
export interface LoadWork {
  readonly algorithm: DigestAlgorithm;
  readonly frame: StoredFrame;
  /** For the disk's bytes, exactly the frame's length; in shared memory. */
  readonly output: Buffer;
}

/** What a worker found out about a frame's bytes. */
export interface FrameDone {
  /** Of the disk's bytes. */
  readonly digest: Buffer;
  /** Bytes in the output. */
  readonly length: number;
}

/** How the digest of a frame is made, and from what. */
export interface EncodeWork {
  readonly algorithm: DigestAlgorithm;
  /** In shared memory. */
  readonly input: Buffer;
  /** In shared memory: for one LZ4 frame of the input, if it is wanted. */
  readonly output?: Buffer | null | undefined;
}

/** The same of several frames. Their LZ4 frames come one behind the other. */
export interface EncodeAllWork extends Pick<EncodeWork, 'algorithm' | 'output'> {
  readonly inputs: readonly Buffer[];
}

/** What is known of the work that a lease is taken for. Without any of it, threads start with the jobs. */
export interface LeaseOptions {
  /** Bytes that will be gone through: as many threads start at once as have enough to do, and one in any case. */
  readonly work?: number | undefined;
}

/** What is decoded, and how it is checked. */
export interface DecodeWork {
  readonly algorithm: DigestAlgorithm;
  /** In shared memory: LZ4 frames; without an output, the disk's bytes. */
  readonly input: Buffer;
  /** In shared memory, as long as what the input holds. */
  readonly output: Buffer | null;
  /** Where the input lies in its file, for errors. */
  readonly start: number;
}

/** The sums of bytes that come one after the other. Who begins one ends it. */
export interface RunningSum {
  /** The next bytes, in shared memory; free again when the promise settles. Calls need not wait for each other. */
  add(bytes: Buffer): Promise<void>;
  /** Of all that was added. */
  end(): Promise<Sums>;
}

export interface Sums {
  /** Lower-case hex. */
  readonly sha256: string;
  /** 0 if it was not wanted. */
  readonly adler32: number;
}

/** What a worker found out about a file. */
export interface FileSums extends Sums {
  readonly size: number;
}

/**
 * A few threads that compress, decode and hash, for all disks of a run. They start with a lease that says what will come, or when
 * there is more to do than those that are there get done, and are terminated when the last lease is disposed; buffers given to them
 * lie in shared memory, so that nothing is copied.
 */
export class WorkerPool {
  readonly #module: URL;
  readonly #most: number;
  #members: Member[] = [];
  #leases = 0;
  #nextId = 1;

  /** @param shape - `module`: what a worker runs; `count`: how many at most */
  constructor({ module, count }: { readonly module: URL; readonly count: number }) {
    this.#module = module;
    this.#most = count;
  }

  /** How many there are now. */
  get threads(): number {
    return this.#members.length;
  }

  /** The pool stays alive while anyone holds a lease. */
  lease({ work }: LeaseOptions = {}): AsyncDisposable {
    let held = true;
    this.#leases += 1;
    const worth = work === undefined ? 0 : 1 + Math.floor(work / WORTH_A_THREAD);
    while (this.#members.length < Math.min(this.#most, worth)) this.#start();
    return {
      [Symbol.asyncDispose]: async () => {
        if (held) this.#leases -= 1;
        held = false;
        if (this.#leases === 0) await this.#terminate();
      },
    };
  }

  /** The digest of a frame's bytes, and what is stored of them. */
  async encode({ algorithm, input, output = null }: EncodeWork): Promise<FrameDone> {
    const regions = { inputs: [regionOf(input)], output: output === null ? null : regionOf(output) };
    const done = await this.#post({ kind: 'encode', algorithm, ...regions }, 1);
    return { digest: Buffer.from(done.digest), length: done.length };
  }

  /** As {@link encode}, of several frames, by one thread and in their order. */
  async encodeAll({ algorithm, inputs, output = null }: EncodeAllWork): Promise<readonly FrameDone[]> {
    const regions = { inputs: inputs.map(regionOf), output: output === null ? null : regionOf(output) };
    const { digest, lengths = [] } = await this.#post({ kind: 'encode', algorithm, ...regions }, 1);
    const digests = Buffer.from(digest.buffer, digest.byteOffset, digest.length);
    return lengths.map((length, index) => ({
      digest: digests.subarray(index * DIGEST_LENGTH, (index + 1) * DIGEST_LENGTH),
      length,
    }));
  }

  /** Decodes a frame to fill the output, and says the digest of the disk's bytes. */
  async decode({ algorithm, input, output, start }: DecodeWork): Promise<FrameDone> {
    const regions = { input: regionOf(input), output: output === null ? null : regionOf(output) };
    const done = await this.#post({ kind: 'decode', algorithm, ...regions, start }, 1);
    return { digest: Buffer.from(done.digest), length: done.length };
  }

  /** Reads a frame from its file, decodes it to fill the output, and says the digest of the disk's bytes. */
  async load({ algorithm, frame, output }: LoadWork): Promise<FrameDone> {
    const done = await this.#post({ kind: 'load', algorithm, frame, output: regionOf(output) }, 1);
    return { digest: Buffer.from(done.digest), length: done.length };
  }

  /** All of it is done by one of the threads. */
  startSum({ adler32 }: { readonly adler32: boolean }): RunningSum {
    const member = this.#leastLoaded();
    const sum = this.#nextId;
    this.#nextId += 1;
    return {
      add: async (bytes) => {
        await this.#postTo(member, { kind: 'add', sum, input: regionOf(bytes), adler32 }, 1);
      },
      end: async () => {
        return sumsOf(await this.#postTo(member, { kind: 'add', sum, input: null, adler32 }, 1));
      },
    };
  }

  /** Reads a whole file, slice by slice, and says what it is; its Adler-32 too if that is wanted. */
  async digestFile(path: string, options: WithSignal & { readonly adler32?: boolean } = {}): Promise<FileSums> {
    const { signal, adler32 = false } = options;
    const member = this.#leastLoaded();
    const sum = this.#nextId;
    this.#nextId += 1;
    try {
      for (let size = 0; ; ) {
        signal?.throwIfAborted();
        const slice = this.#postTo(member, { kind: 'digest', sum, path, offset: size, adler32 }, FILE_WEIGHT);
        const done = await untilAborted(slice, signal);
        size += done.length;
        if (done.digest.length > 0) return { ...sumsOf(done), size };
      }
    } catch (error) {
      // The worker forgets it, if it is there.
      this.#postTo(member, { kind: 'add', sum, input: null, adler32 }, 1).catch(() => undefined);
      throw error;
    }
  }

  #post(work: Work, weight: number): Promise<WorkDone> {
    return this.#postTo(this.#leastLoaded(), work, weight);
  }

  #postTo(member: Member, work: Work, weight: number): Promise<WorkDone> {
    if (!this.#members.includes(member)) return Promise.reject(ended(undefined));
    const id = this.#nextId;
    this.#nextId += 1;
    const bytes = inputLength(work);
    return new Promise((resolve, reject) => {
      member.pending.set(id, { weight, bytes, resolve, reject });
      member.load += weight;
      member.backlog += bytes;
      member.worker.ref();
      enqueue(member, { id, work });
    });
  }

  #leastLoaded(): Member {
    const begun = this.#members.find(({ batch }) => batch.length > 0);
    if (begun !== undefined) return begun;
    const idle = this.#members.find((member) => member.load === 0);
    if (idle !== undefined) return idle;
    const [first] = this.#members;
    if (first === undefined) return this.#start();
    const least = this.#members.reduce((found, member) => (member.load < found.load ? member : found), first);
    return least.backlog >= BACKLOG && this.#members.length < this.#most ? this.#start() : least;
  }

  #start(): Member {
    const worker = new Worker(this.#module);
    const member: Member = { worker, pending: new Map(), load: 0, backlog: 0, batch: [], batchBytes: 0 };
    worker.unref();
    worker.on('message', (message: unknown) => {
      if (isResultBatch(message)) for (const result of message.results) settle(member, result);
    });
    worker.on('error', (error) => this.#lose(member, error));
    worker.on('exit', () => this.#lose(member, undefined));
    this.#members.push(member);
    return member;
  }

  #lose(member: Member, cause: unknown): void {
    this.#members = this.#members.filter((other) => other !== member);
    for (const pending of member.pending.values()) {
      pending.reject(ended(cause));
    }
    member.pending.clear();
  }

  async #terminate(): Promise<void> {
    const members = this.#members;
    this.#members = [];
    await Promise.all(members.map((member) => member.worker.terminate()));
  }
}

/** The workers of this process: two, however many disks are worked on. */
export const sharedWorkers = new WorkerPool({ module: new URL('./frame.worker.js', import.meta.url), count: 2 });

const ended = (cause: unknown): VBackupError =>
  new VBackupError('VB_INTERNAL', 'a worker thread ended before its work', { cause });

/** Jobs of one turn of the event loop go to their worker in one message, unless they are enough work for one. */
function enqueue(member: Member, job: Job): void {
  if (member.batch.push(job) === 1) atEndOfTurn(() => send(member));
  member.batchBytes += inputLength(job.work);
  if (member.batch.length >= BATCH_JOBS || member.batchBytes >= BATCH_BYTES) send(member);
}

function send(member: Member): void {
  if (member.batch.length === 0) return;
  const batch: JobBatch = { jobs: member.batch };
  member.batch = [];
  member.batchBytes = 0;
  member.worker.postMessage(batch);
}

/** Bytes that a job has to go through; a file, whose length is not known, is enough for a thread of its own. */
function inputLength(work: Work): number {
  if (work.kind === 'digest') return BACKLOG;
  if (work.kind === 'encode') return work.inputs.reduce((sum, { length }) => sum + length, 0);
  return work.kind === 'load' ? work.output.length : (work.input?.length ?? 0);
}

function settle(member: Member, done: WorkResult): void {
  const pending = member.pending.get(done.id);
  if (pending === undefined) return;
  member.pending.delete(done.id);
  member.load -= pending.weight;
  member.backlog -= pending.bytes;
  if (member.load === 0) member.worker.unref();
  if ('error' in done) pending.reject(workerError(done.error, done.code));
  else pending.resolve(done);
}

/** An error that crossed the thread boundary as text; a decoder's own code is told by the caller, who knows the frame. */
function workerError(message: string, code: string | null): Error {
  if (code === null || code.startsWith('VB_')) return new VBackupError('VB_FRAME_DAMAGED', message);
  return ioError(Object.assign(new Error(message), { code }), message);
}

const sumsOf = ({ digest, adler32 }: WorkDone): Sums => ({ sha256: Buffer.from(digest).toString('hex'), adler32 });

function regionOf(bytes: Buffer): Region {
  const memory = bytes.buffer;
  if (!(memory instanceof SharedArrayBuffer)) throw new TypeError('not in shared memory');
  return { memory, offset: bytes.byteOffset, length: bytes.length };
}

async function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
  if (signal === undefined) return work;
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}
