import type { ClusterRange } from './archive.js';

// A trie over the 32 bits of a cluster's index. Every node is 8 words of one pool: a leaf's are 256 bits, an inner node's are
// the numbers of its children, 0 for none. Three bits of the index choose a child, on eight levels above the leaf.
const NODE_WORDS = 8;
const LEAF_BITS = 8;
const LEVELS = 8;
const FIRST_POOL_WORDS = 16 * NODE_WORDS;

/**
 * Which clusters were seen. Its memory follows what was put in and not what a header claims: at most 576 bytes for a cluster
 * that is far from every other, two to three bits for each of many that lie together. No order of
 * clusters makes it slow: a step is at most nine look-ups.
 */
export class ClusterSet {
  #pool = new Uint32Array(FIRST_POOL_WORDS);
  #nodes = 1;
  #size = 0;
  #leafKey = -1;
  #leaf = 0;

  /** Clusters in the set. */
  get size(): number {
    return this.#size;
  }

  /** Puts a cluster in; false if it was there. `clusterIndex` has 32 bits. */
  add(clusterIndex: number): boolean {
    const word = this.#leafOf(clusterIndex) + ((clusterIndex >>> 5) & 7);
    const bit = 1 << (clusterIndex & 31);
    const bits = this.#pool[word] ?? 0;
    if ((bits & bit) !== 0) return false;
    this.#pool[word] = bits | bit;
    this.#size += 1;
    return true;
  }

  /** Of the clusters before `end`, those that are not in the set, as ascending ranges as long as possible. */
  *missing(end: number): Generator<ClusterRange, void, undefined> {
    let first = 0;
    for (const range of this.#present({ node: 0, level: LEVELS, base: 0 })) {
      if (range.first >= end) break;
      if (range.first > first) yield { first, end: range.first };
      first = range.end;
    }
    if (first < end) yield { first, end };
  }

  #leafOf(clusterIndex: number): number {
    const key = clusterIndex >>> LEAF_BITS;
    if (key === this.#leafKey) return this.#leaf;
    let node = 0;
    for (let level = LEVELS - 1; level >= 0; level -= 1) {
      const slot = node + ((key >>> (3 * level)) & 7);
      const child = this.#pool[slot] ?? 0;
      node = child === 0 ? this.#grow(slot) : child * NODE_WORDS;
    }
    this.#leafKey = key;
    this.#leaf = node;
    return node;
  }

  /** Hangs a new node into a word of its parent; returns where it begins. */
  #grow(slot: number): number {
    const node = this.#nodes * NODE_WORDS;
    if (node === this.#pool.length) {
      const wider = new Uint32Array(2 * this.#pool.length);
      wider.set(this.#pool);
      this.#pool = wider;
    }
    this.#pool[slot] = this.#nodes;
    this.#nodes += 1;
    return node;
  }

  /** Ranges that are in the set below a node; neighbours may touch. */
  *#present({ node, level, base }: Place): Generator<ClusterRange, void, undefined> {
    const width = 2 ** (LEAF_BITS + 3 * (level - 1));
    for (let index = 0; index < NODE_WORDS; index += 1) {
      const word = this.#pool[node + index] ?? 0;
      if (word === 0) continue;
      if (level === 0) yield* rangesOf(word, base + index * 32);
      else yield* this.#present({ node: word * NODE_WORDS, level: level - 1, base: base + index * width });
    }
  }
}

interface Place {
  readonly node: number;
  readonly level: number;
  readonly base: number;
}

function* rangesOf(word: number, base: number): Generator<ClusterRange, void, undefined> {
  let bit = 0;
  while (bit < 32) {
    const first = bit;
    while (bit < 32 && ((word >>> bit) & 1) === 1) bit += 1;
    if (bit > first) yield { first: base + first, end: base + bit };
    bit += 1;
  }
}
