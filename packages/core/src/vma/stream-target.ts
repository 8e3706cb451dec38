import type { BlockLimits, BlockWriter, OpenTarget, WithSignal } from '../hypervisor/index.js';
import { StreamDestination } from './output-destination.js';

const LIMITS: BlockLimits = { alignment: 1, maximumRequest: 1024 * 1024, maximumInFlight: 1 };
const ZEROS = Buffer.alloc(1024 * 1024);

/** A stream as a target, as standard output: it takes every byte of the disk in order. What was written stays written. */
export const openStreamTarget =
  (stream: NodeJS.WritableStream): OpenTarget =>
  ({ size }, options) =>
    Promise.resolve(new StreamWriter(size, new StreamDestination(stream, options?.signal)));

class StreamWriter implements BlockWriter {
  readonly size: number;
  readonly limits = LIMITS;
  readonly zeroed = false;
  readonly #destination: StreamDestination;

  constructor(size: number, destination: StreamDestination) {
    this.size = size;
    this.#destination = destination;
  }

  async write(_offset: number, bytes: Buffer): Promise<void> {
    await this.#destination.append([bytes]);
  }

  async zero(_offset: number, length: number, { signal }: WithSignal = {}): Promise<void> {
    for (let left = length; left > 0; left -= ZEROS.length) {
      signal?.throwIfAborted();
      await this.#destination.append([ZEROS.subarray(0, Math.min(left, ZEROS.length))]);
    }
  }

  async finish(): Promise<void> {
    await this.#destination.finish();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
