import { abortError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { Job, type JobOwner, type JobSpecification } from './job.js';
import type { Reply } from './reply.js';

/** Who waits for jobs that are asked for together. */
export interface Waiting extends WithSignal {
  /** Called once, with the reply that was the last. */
  readonly resolve: (last: Reply) => void;
  /** Called once or more; afterwards no buffer is touched any more. */
  readonly reject: (error: Error) => void;
}

/** Who sends jobs. */
export interface JobKeeper {
  /** A job is done. @param group - that it is one of */
  onDone(job: Job, group: JobGroup): void;
  /** Nobody waits for the job any more, wherever it is; its buffers are not touched when this returns. */
  takeBack(job: Job): void;
}

export interface GroupOptions {
  readonly keeper: JobKeeper;
  readonly waiting: Waiting;
  /** Writes that were confirmed when this was asked for. */
  readonly writtenBefore: number;
}

/** Jobs of whom all have to be done: the first failure, or the signal, takes the others back. At least one. */
export class JobGroup implements JobOwner {
  readonly jobs: readonly Job[];
  /** Writes that were confirmed when this was asked for. */
  readonly writtenBefore: number;
  readonly #waiting: Waiting;
  readonly #keeper: JobKeeper;
  #left: number;

  constructor(specifications: readonly JobSpecification[], { keeper, waiting, writtenBefore }: GroupOptions) {
    this.writtenBefore = writtenBefore;
    this.#waiting = waiting;
    this.#keeper = keeper;
    this.#left = specifications.length;
    this.jobs = specifications.map((specification) => new Job(specification, this));
    waiting.signal?.addEventListener('abort', this, { once: true });
  }

  /** The signal says that nobody waits any more. */
  handleEvent(): void {
    const { signal } = this.#waiting;
    if (signal !== undefined) this.failed(abortError(signal));
  }

  done(job: Job, reply: Reply): void {
    this.#keeper.onDone(job, this);
    this.#left -= 1;
    if (this.#left > 0) return;
    this.#waiting.signal?.removeEventListener('abort', this);
    this.#waiting.resolve(reply);
  }

  failed(error: Error): void {
    this.#waiting.signal?.removeEventListener('abort', this);
    for (const job of this.jobs) this.#keeper.takeBack(job);
    this.#waiting.reject(error);
  }
}
