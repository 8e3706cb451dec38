import { abortError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { Job, type JobSpecification } from './job.js';
import type { Reply } from './reply.js';

/** Who waits for jobs that are asked for together. */
export interface Waiting extends WithSignal {
  /** Called once, with the reply that was the last. */
  readonly resolve: (last: Reply) => void;
  /** Called once or more; afterwards no buffer is touched any more. */
  readonly reject: (error: Error) => void;
}

export interface GroupOptions extends Waiting {
  /** Called for each job that is done. */
  readonly onDone: (command: number) => void;
  /** Nobody waits for the job any more, wherever it is; its buffers are not touched when this returns. */
  readonly takeBack: (job: Job) => void;
}

/** Jobs of whom all have to be done: the first failure, or the signal, takes the others back. At least one. */
export function jobsOf(specifications: readonly JobSpecification[], options: GroupOptions): readonly Job[] {
  const { resolve, reject, onDone, takeBack, signal } = options;
  let left = specifications.length;
  const fail = (error: Error): void => {
    signal?.removeEventListener('abort', abort);
    for (const job of jobs) takeBack(job);
    reject(error);
  };
  const abort = (): void => {
    if (signal !== undefined) fail(abortError(signal));
  };
  const done = (command: number, reply: Reply): void => {
    onDone(command);
    left -= 1;
    if (left > 0) return;
    signal?.removeEventListener('abort', abort);
    resolve(reply);
  };
  const jobs = specifications.map(
    (specification) => new Job(specification, { resolve: (reply) => done(specification.command, reply), reject: fail }),
  );
  signal?.addEventListener('abort', abort, { once: true });
  return jobs;
}
