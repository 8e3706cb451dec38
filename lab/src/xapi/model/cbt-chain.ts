import { backendFailure, type XapiFailure } from '../rpc/call.js';
import { CbtLog } from './cbt-log-bitmap.js';

/** Every log of a host, by the uuid of its disk, linked and walked as the storage manager (SM) does it. */
export class CbtChain {
  readonly #logs = new Map<string, CbtLog>();

  has(uuid: string): boolean {
    return this.#logs.has(uuid);
  }

  enable(uuid: string, size: number): void {
    if (!this.has(uuid)) this.#logs.set(uuid, new CbtLog(size));
  }

  /** A guest wrote: marks the disk's own log, if it has one. */
  mark(uuid: string, offset: number, length: number): void {
    this.#logs.get(uuid)?.mark(offset, length);
  }

  /** The disk's log becomes the snapshot's; the disk gets a fresh one behind it. */
  snapshot(uuid: string, snapshot: string): void {
    const log = this.#logs.get(uuid);
    if (log === undefined) return;
    const parent = this.#parentOf(log);
    if (parent !== undefined) parent.child = snapshot;
    log.child = uuid;
    this.#logs.set(snapshot, log);
    this.#logs.set(uuid, new CbtLog(log.size, snapshot));
  }

  grow(uuid: string, size: number): void {
    this.#logs.get(uuid)?.grow(size);
  }

  /** The disk is destroyed: what its log holds moves into its child, and the neighbours are joined. */
  destroy(uuid: string): void {
    const log = this.#logs.get(uuid);
    if (log === undefined) return;
    const parent = this.#parentOf(log);
    const child = log.child === undefined ? undefined : this.#logs.get(log.child);
    if (parent !== undefined) parent.child = log.child;
    if (child !== undefined) {
      child.parent = log.parent;
      child.merge(log);
    }
    this.#logs.delete(uuid);
  }

  /** Tracking ends here: the log is lost, its parent has no child any more. */
  drop(uuid: string): void {
    const log = this.#logs.get(uuid);
    if (log === undefined) return;
    const parent = this.#parentOf(log);
    if (parent !== undefined) parent.child = undefined;
    this.#logs.delete(uuid);
  }

  /**
   * The blocks written after `from` was frozen, up to and including `to`: child pointers are followed from `from`, and
   * every log on the way is added up. Growth counts as not written.
   * @throws XapiFailure SR_BACKEND_FAILURE_460 when `to` does not descend from `from`
   */
  changedSince(from: string, to: string): Buffer {
    if (from === to) throw unrelated('Source and target VDI are same');
    let sum: CbtLog | undefined;
    const visited = new Set<string>();
    for (let uuid = this.#logs.get(from)?.child; uuid !== undefined && !visited.has(uuid); ) {
      visited.add(uuid);
      const log = this.#logs.get(uuid);
      if (log === undefined) break;
      if (sum !== undefined && log.size < sum.size) {
        throw backendFailure(459, 'Changed Block Tracking metadata is inconsistent [opterr=Inconsistent bitmap sizes]');
      }
      const next = new CbtLog(log.size);
      if (sum !== undefined) next.merge(sum);
      next.merge(log);
      if (uuid === to) return next.toBuffer();
      sum = next;
      uuid = log.child;
    }
    throw unrelated('Source and target VDI are unrelated');
  }

  #parentOf(log: CbtLog): CbtLog | undefined {
    return log.parent === undefined ? undefined : this.#logs.get(log.parent);
  }
}

function unrelated(why: string): XapiFailure {
  return backendFailure(460, `Failed to calculate changed blocks for given VDIs. [opterr=${why}]`);
}
