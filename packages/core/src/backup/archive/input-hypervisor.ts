import { ByteQueue } from '../../bytes/index.js';
import { VBackupError } from '../../errors/index.js';
import type { BlockReader, Guest, Hypervisor, Snapshot, WithSignal } from '../../hypervisor/index.js';
import { stillSnapshot } from './backup-hypervisor.js';

/** The longest piece that is asked for at once. */
const MAXIMUM_REQUEST = 1024 * 1024;

export interface DiskInput {
  /** Read once, from its beginning to its end. */
  readonly chunks: AsyncIterable<Buffer>;
  /** Exactly so many bytes have to come. */
  readonly size: number;
  /** For people. */
  readonly name: string;
}

/** A stream as a guest of one disk, which can be read once. Whoever asks for any guest gets this one. */
export class InputHypervisor implements Hypervisor {
  readonly #input: DiskInput;

  constructor(input: DiskInput) {
    this.#input = input;
  }

  find(): Promise<Guest> {
    return Promise.resolve({ id: 'input', name: this.#input.name, kind: 'disk' });
  }

  async snapshot(): Promise<Snapshot> {
    const { size, name } = this.#input;
    const reader = new InputReader(this.#input);
    const disk = { name: 'input', id: 'input', label: name, size, changes: { kind: 'all' } as const };
    return {
      ...stillSnapshot({
        time: new Date(),
        disks: [{ ...disk, open: () => Promise.resolve(reader) }],
        configuration: [],
      }),
      confirm: () => reader.requireEnd(),
    };
  }

  async recover(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Reads come in ascending order, without gaps: a copy of the whole disk asks so. */
class InputReader implements BlockReader {
  readonly size: number;
  readonly limits = { alignment: 1, maximumRequest: MAXIMUM_REQUEST, maximumInFlight: 1 };
  readonly #input: DiskInput;
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #queue = new ByteQueue();
  #position = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(input: DiskInput) {
    this.size = input.size;
    this.#input = input;
    this.#iterator = input.chunks[Symbol.asyncIterator]();
  }

  read(offset: number, target: Buffer, { signal }: WithSignal = {}): Promise<void> {
    const read = this.#turn.then(() => this.#read(offset, target, signal));
    this.#turn = read;
    read.catch(() => undefined);
    return read;
  }

  /** @throws VBackupError VB_INVALID_ARGUMENT if more comes than the disk has */
  async requireEnd(): Promise<void> {
    while (this.#queue.length === 0 && (await this.#fill()));
    if (this.#queue.length === 0) return;
    const { name, size } = this.#input;
    const cure = 'say how many bytes it has';
    throw new VBackupError('VB_INVALID_ARGUMENT', `${name} has more than ${size} bytes`, { cure });
  }

  /** The input is closed by who opened it. */
  async [Symbol.asyncDispose](): Promise<void> {}

  async #read(offset: number, target: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (offset !== this.#position) {
      throw new VBackupError('VB_INTERNAL', `a stream is read at ${offset}, and is at ${this.#position}`);
    }
    const { name, size } = this.#input;
    while (this.#queue.length < target.length) {
      signal?.throwIfAborted();
      if (await this.#fill()) continue;
      const cure = 'say how many bytes it has';
      const message = `${name} ended after ${offset + this.#queue.length} of ${size} bytes`;
      throw new VBackupError('VB_INVALID_ARGUMENT', message, { cure });
    }
    this.#queue.take(target.length)?.copy(target);
    this.#position += target.length;
  }

  async #fill(): Promise<boolean> {
    const next = await this.#iterator.next();
    if (next.done === true) return false;
    this.#queue.push(next.value);
    return true;
  }
}
