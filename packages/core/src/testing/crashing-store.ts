import { type Extent, endOf, splitAt } from '../extent/index.js';
import type { OverlayStore } from '../serve/overlay/overlay-store.js';

/** What a disk writes as a whole, or not at all. */
const SECTOR = 512;

/** Sectors by their index; what is not there is zeros. */
type Sectors = Map<number, Buffer>;

/**
 * A sparse file in memory that can crash: of what was not synced, every sector is lost or kept for itself, as `chance` says.
 * The `failAt`-th call that changes something fails, and all behind it.
 */
export class CrashingStore implements OverlayStore {
  readonly #chance: () => boolean;
  #durable: Sectors;
  #seen: Sectors;
  readonly #unsynced = new Map<number, (Buffer | undefined)[]>();
  /** Calls that changed something, or synced. */
  calls = 0;
  failAt = Number.POSITIVE_INFINITY;
  /** What a call that fails says. */
  failure: Error = Object.assign(new Error('power cut'), { code: 'EIO' });

  constructor(chance: () => boolean) {
    this.#chance = chance;
    this.#durable = new Map();
    this.#seen = new Map();
  }

  async read(target: Buffer, position: number): Promise<void> {
    for (const piece of pieces({ offset: position, length: target.length })) {
      const into = target.subarray(piece.offset - position, endOf(piece) - position);
      const sector = this.#seen.get(sectorOf(piece));
      if (sector === undefined) into.fill(0);
      else sector.copy(into, 0, piece.offset % SECTOR);
    }
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    // A call that fails has done some of its work.
    const failing = this.#count();
    for (const piece of pieces({ offset: position, length: bytes.length })) {
      if (failing && this.#chance()) continue;
      const sector = Buffer.from(this.#seen.get(sectorOf(piece)) ?? Buffer.alloc(SECTOR));
      bytes.copy(sector, piece.offset % SECTOR, piece.offset - position, endOf(piece) - position);
      this.#put(sectorOf(piece), sector);
    }
    if (failing) throw this.failure;
  }

  async zero(range: Extent): Promise<void> {
    await this.write(Buffer.alloc(range.length), range.offset);
  }

  async discard(range: Extent): Promise<void> {
    if (this.#count()) return;
    for (const piece of pieces(range)) if (piece.length === SECTOR) this.#put(sectorOf(piece), undefined);
  }

  async sync(): Promise<void> {
    if (this.#count()) throw this.failure;
    this.#durable = new Map(this.#seen);
    this.#unsynced.clear();
  }

  /** Everything that was not synced is lost, in part. */
  crash(): void {
    for (const [index, versions] of this.#unsynced) {
      for (const version of versions) {
        if (!this.#chance()) continue;
        if (version === undefined) this.#durable.delete(index);
        else this.#durable.set(index, version);
      }
    }
    this.#seen = new Map(this.#durable);
    this.#unsynced.clear();
    this.failAt = Number.POSITIVE_INFINITY;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #count(): boolean {
    this.calls += 1;
    return this.calls >= this.failAt;
  }

  #put(index: number, sector: Buffer | undefined): void {
    if (sector === undefined) this.#seen.delete(index);
    else this.#seen.set(index, sector);
    const versions = this.#unsynced.get(index);
    if (versions === undefined) this.#unsynced.set(index, [sector]);
    else versions.push(sector);
  }
}

const pieces = (range: Extent): Generator<Extent> => splitAt([range], SECTOR);

const sectorOf = (piece: Extent): number => Math.floor(piece.offset / SECTOR);
