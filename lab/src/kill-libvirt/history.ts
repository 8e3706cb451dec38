import { createHash } from 'node:crypto';

const SECTOR = 512;

/** One write of the guest: so many bytes of one value. */
export interface GuestWrite {
  readonly target: string;
  readonly offset: number;
  readonly length: number;
  readonly value: number;
}

export type Disks = ReadonlyMap<string, Buffer>;

/**
 * What the disks of a guest held at every moment: what they held once, and every write since, in order. The guest makes one
 * write at a time, so that a backup of one instant holds all writes up to some number, of all disks, and no later one.
 */
export class History {
  #start: Map<string, Buffer>;
  #first = 0;
  #writes: GuestWrite[] = [];

  constructor(disks: Disks) {
    this.#start = copyOf(disks);
  }

  /** How many writes were made. */
  get count(): number {
    return this.#first + this.#writes.length;
  }

  add(write: GuestWrite): void {
    this.#writes.push(write);
  }

  /** The disks now; what was before is forgotten. */
  settle(): Disks {
    for (const write of this.#writes) apply(this.#start, write);
    this.#first = this.count;
    this.#writes = [];
    return this.#start;
  }

  /** After a crash: these are the disks, whatever was written. */
  reset(disks: Disks): void {
    this.#first = this.count;
    this.#writes = [];
    this.#start = copyOf(disks);
  }

  /** The number of writes after which the disks held just these bytes; null if there is none since `settle`. */
  find(disks: Disks): number | null {
    const state = copyOf(this.#start);
    const wrong = new Set<string>();
    for (const [target, bytes] of state) compare({ state, disks, wrong }, { target, offset: 0, length: bytes.length });
    let count = this.#first;
    if (wrong.size === 0) return count;
    for (const write of this.#writes) {
      apply(state, write);
      compare({ state, disks, wrong }, write);
      count += 1;
      if (wrong.size === 0) return count;
    }
    return null;
  }

  /** For a person: how far the disks are from each moment, at best. */
  nearest(disks: Disks): string {
    const state = copyOf(this.#start);
    const wrong = new Set<string>();
    for (const [target, bytes] of state) compare({ state, disks, wrong }, { target, offset: 0, length: bytes.length });
    let best = { count: this.#first, sectors: [...wrong] };
    for (const [index, write] of this.#writes.entries()) {
      apply(state, write);
      compare({ state, disks, wrong }, write);
      if (wrong.size < best.sectors.length) best = { count: this.#first + index + 1, sectors: [...wrong] };
    }
    const some = best.sectors.slice(0, 8).join(', ');
    return `after write ${best.count} of ${this.#first} to ${this.count} ${best.sectors.length} sectors differ: ${some}`;
  }
}

const copyOf = (disks: Disks): Map<string, Buffer> =>
  new Map([...disks].map(([target, bytes]) => [target, Buffer.from(bytes)]));

function apply(state: Disks, { target, offset, length, value }: GuestWrite): void {
  state.get(target)?.fill(value, offset, offset + length);
}

interface Comparison {
  readonly state: Disks;
  readonly disks: Disks;
  /** `vda:17`: sectors that differ. */
  readonly wrong: Set<string>;
}

function compare({ state, disks, wrong }: Comparison, range: Omit<GuestWrite, 'value'>): void {
  const { target, offset, length } = range;
  const [expected, actual] = [state.get(target), disks.get(target)];
  if (expected === undefined || actual === undefined || expected.length !== actual.length) {
    throw new Error(`${target} has ${actual?.length} bytes instead of ${expected?.length}`);
  }
  const first = Math.floor(offset / SECTOR);
  for (let sector = first; sector * SECTOR < offset + length; sector += 1) {
    const [begin, end] = [sector * SECTOR, (sector + 1) * SECTOR];
    if (expected.subarray(begin, end).equals(actual.subarray(begin, end))) wrong.delete(`${target}:${sector}`);
    else wrong.add(`${target}:${sector}`);
  }
}

export function digestOf(disks: Disks): string {
  const hash = createHash('sha256');
  for (const target of [...disks.keys()].toSorted()) hash.update(disks.get(target) ?? '');
  return hash.digest('hex');
}
