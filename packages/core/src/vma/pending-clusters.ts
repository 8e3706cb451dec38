import { VBackupError } from '../errors/index.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/** Clusters that may be incomplete at a time, of all devices together: 16 MiB. */
export const MAX_PENDING_CLUSTERS = 256;

/** A cluster of which a part was given. What was not given is zeros. */
export class PendingCluster {
  /** A whole cluster. */
  readonly bytes: Buffer;
  readonly #length: number;
  /** Given ranges: ascending, disjoint, no two touch. */
  #given: { readonly start: number; readonly end: number }[] = [];

  /** @param length - of the cluster, up to the end of its device */
  constructor(bytes: Buffer, length: number) {
    this.bytes = bytes.fill(0);
    this.#length = length;
  }

  get isComplete(): boolean {
    const [first] = this.#given;
    return first !== undefined && first.start === 0 && first.end === this.#length;
  }

  /** Notes that a range was given; false if a part of it was before. */
  give(start: number, end: number): boolean {
    let at = this.#given.length;
    while (at > 0 && (this.#given[at - 1]?.end ?? 0) > start) at -= 1;
    const before = this.#given[at - 1];
    const behind = this.#given[at];
    if (behind !== undefined && behind.start < end) return false;
    const joinsBefore = before?.end === start;
    const joinsBehind = behind?.start === end;
    const joined = {
      start: joinsBefore ? before.start : start,
      end: joinsBehind ? behind.end : end,
    };
    this.#given.splice(joinsBefore ? at - 1 : at, Number(joinsBefore) + Number(joinsBehind), joined);
    return true;
  }
}

/** Lends the memory of incomplete clusters, of all devices, within a bound. */
export class PendingMemory {
  readonly #most: number;
  readonly #free: Buffer[] = [];
  #lent = 0;

  constructor(most: number = MAX_PENDING_CLUSTERS) {
    this.#most = most;
  }

  /** @throws VBackupError VB_VMA_WRITE beyond the bound */
  take(): Buffer {
    if (this.#lent === this.#most) {
      const cure = `give whole clusters of ${VMA_CLUSTER_LENGTH} bytes, in any order, or pieces nearer to their order`;
      throw new VBackupError('VB_VMA_WRITE', `more than ${this.#most} clusters are incomplete`, { cure });
    }
    this.#lent += 1;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(VMA_CLUSTER_LENGTH);
  }

  give(bytes: Buffer): void {
    this.#lent -= 1;
    this.#free.push(bytes);
  }
}
