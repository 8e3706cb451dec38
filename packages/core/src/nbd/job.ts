import type { Reply } from './reply.js';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
} from './words.js';

/** What a request is to do. */
export interface JobSpecification {
  /** NBD_CMD_… */
  readonly command: number;
  /** NBD_CMD_FLAG_… */
  readonly flags?: number | undefined;
  readonly offset: number;
  readonly length: number;
  /** Where a READ goes. */
  readonly target?: Buffer | undefined;
  /** What a WRITE sends. */
  readonly payload?: Buffer | undefined;
}

const VERBS: ReadonlyMap<number, string> = new Map([
  [NBD_CMD_READ, 'read'],
  [NBD_CMD_WRITE, 'write'],
  [NBD_CMD_FLUSH, 'flush'],
  [NBD_CMD_TRIM, 'trim'],
  [NBD_CMD_WRITE_ZEROES, 'zero'],
  [NBD_CMD_BLOCK_STATUS, 'tell the status of'],
]);

/** Who waits for a job. */
export interface JobOwner {
  done(job: Job, reply: Reply): void;
  failed(error: Error): void;
}

/** A request and the caller that waits for it. It may be sent more than once, on different connections. */
export class Job {
  readonly specification: JobSpecification;
  readonly #owner: JobOwner;
  /** How often a connection ended while the job was on it. */
  losses = 0;
  /** How often it ended in the middle of the job's own data. */
  interruptions = 0;

  constructor(specification: JobSpecification, owner: JobOwner) {
    this.specification = specification;
    this.#owner = owner;
  }

  /** Called once, with the complete reply. */
  resolve(reply: Reply): void {
    this.#owner.done(this, reply);
  }

  /** Called once; afterwards the caller's buffer is not touched any more. */
  reject(error: Error): void {
    this.#owner.failed(error);
  }

  /** The request for messages, e.g. `read 4096 bytes at 0`. */
  get what(): string {
    const { command, offset, length } = this.specification;
    const verb = VERBS.get(command) ?? `do ${command} with`;
    return command === NBD_CMD_FLUSH ? verb : `${verb} ${length} bytes at ${offset}`;
  }

  /** It changes nothing on the server, so it may be sent again. */
  get repeatable(): boolean {
    return isRepeatable(this.specification.command);
  }
}

/** Whether a command changes nothing on the server. */
export const isRepeatable = (command: number): boolean => command === NBD_CMD_READ || command === NBD_CMD_BLOCK_STATUS;
