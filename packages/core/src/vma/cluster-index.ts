import { ProtocolError } from '../errors/index.js';

const FIRST_CAPACITY = 64;
/** A file offset has 48 bits: 256 TiB. */
const MAX_FILE_OFFSET = 2 ** 48;
const LOW = 2 ** 32;

/** A cluster and where its stored blocks are. */
export interface LocatedCluster {
  readonly clusterIndex: number;
  readonly mask: number;
  readonly fileOffset: number;
}

/** Where clusters are, in columns: 8 bytes each, and 4 more where the index cannot be left out. */
class Columns {
  readonly low: Uint32Array<ArrayBuffer>;
  readonly high: Uint16Array<ArrayBuffer>;
  readonly masks: Uint16Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.low = new Uint32Array(capacity);
    this.high = new Uint16Array(capacity);
    this.masks = new Uint16Array(capacity);
  }

  set(at: number, mask: number, fileOffset: number): void {
    this.low[at] = fileOffset % LOW;
    this.high[at] = Math.floor(fileOffset / LOW);
    this.masks[at] = mask;
  }

  fileOffset(at: number): number {
    return (this.high[at] ?? 0) * LOW + (this.low[at] ?? 0);
  }

  resized(capacity: number): Columns {
    const other = new Columns(capacity);
    const count = Math.min(capacity, this.low.length);
    other.low.set(this.low.subarray(0, count));
    other.high.set(this.high.subarray(0, count));
    other.masks.set(this.masks.subarray(0, count));
    return other;
  }
}

/** Collects the clusters of one device in the order of the archive; none may come twice. */
export class ClusterLog {
  #keys = new Uint32Array(FIRST_CAPACITY);
  #columns = new Columns(FIRST_CAPACITY);
  #count = 0;
  #ascending = true;
  #last = -1;

  /** @throws ProtocolError VB_VMA_LIMIT beyond 256 TiB of archive */
  add({ clusterIndex, mask, fileOffset }: LocatedCluster): void {
    if (fileOffset >= MAX_FILE_OFFSET) {
      throw new ProtocolError('VB_VMA_LIMIT', 'archive of more than 256 TiB cannot be indexed', fileOffset);
    }
    if (this.#count === this.#keys.length) this.#resize(2 * this.#count);
    this.#keys[this.#count] = clusterIndex;
    this.#columns.set(this.#count, mask, fileOffset);
    this.#count += 1;
    if (clusterIndex < this.#last) this.#ascending = false;
    this.#last = clusterIndex;
  }

  /** Nothing may be added afterwards. */
  build(): ClusterIndex {
    this.#resize(this.#count);
    const keys = this.#keys;
    const highest = keys.reduce((most, key) => Math.max(most, key), -1);
    // Without a gap, the place of a cluster is its index.
    const sorted = highest + 1 === this.#count ? undefined : this.#ascending ? keys : keys.slice().sort();
    if (this.#ascending) return new ClusterIndex(this.#columns, sorted);
    const columns = new Columns(this.#count);
    for (const [at, key] of keys.entries()) {
      const place = sorted === undefined ? key : search(sorted, key);
      columns.set(place, this.#columns.masks[at] ?? 0, this.#columns.fileOffset(at));
    }
    return new ClusterIndex(columns, sorted);
  }

  #resize(capacity: number): void {
    const keys = new Uint32Array(capacity);
    keys.set(this.#keys.subarray(0, Math.min(capacity, this.#keys.length)));
    this.#keys = keys;
    this.#columns = this.#columns.resized(capacity);
  }
}

/** Where the clusters of one device are in the archive. 8 bytes for each; 12 if the archive lacks some. */
export class ClusterIndex {
  readonly #columns: Columns;
  readonly #sorted: Uint32Array<ArrayBuffer> | undefined;

  /** @param sorted - the indexes of the clusters, ascending; undefined if they are 0, 1, 2, … */
  constructor(columns: Columns, sorted: Uint32Array<ArrayBuffer> | undefined) {
    this.#columns = columns;
    this.#sorted = sorted;
  }

  /** Behind the last cluster that the archive has. */
  get end(): number {
    return this.#sorted === undefined ? this.#columns.masks.length : (this.#sorted.at(-1) ?? -1) + 1;
  }

  /** Undefined if the archive lacks the cluster. */
  find(clusterIndex: number): LocatedCluster | undefined {
    const at = this.#sorted === undefined ? clusterIndex : search(this.#sorted, clusterIndex);
    const mask = this.#columns.masks[at];
    return mask === undefined ? undefined : { clusterIndex, mask, fileOffset: this.#columns.fileOffset(at) };
  }
}

/** Where a key stands; -1 if it is not there. */
function search(sorted: Uint32Array, key: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const found = sorted[middle] ?? 0;
    if (found === key) return middle;
    if (found < key) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
