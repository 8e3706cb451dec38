import assert from 'node:assert/strict';
import { NODE_ITSELF, withSystemLibrary } from './system-library.js';

/** Where a function for Adler-32 is, the fastest first. All have the same arguments and the same answers. */
const SOURCES = [
  // With the processor's vectors: 0.05 CPU seconds per GiB. Debian has it where libtiff is, which is not everywhere.
  { name: 'libdeflate', soname: 'libdeflate.so.0', symbol: 'libdeflate_adler32', word: 'uint32_t' },
  // 0.3 CPU seconds per GiB; half of what a loop takes.
  { name: "Node's zlib", soname: NODE_ITSELF, symbol: 'adler32_z', word: 'unsigned long' },
] as const;

const KNOWN_TEXT = 'Wikipedia';
const KNOWN_SUM = 0x11e60398;

/** Adler-32 by a library. */
export interface SystemAdler32 {
  readonly name: string;
  /** Goes on with a sum over more bytes. */
  readonly update: (sum: number, bytes: Uint8Array) => number;
}

/** All that this machine has, the fastest first; one that gives other answers than the specification is left out. */
export function* systemAdler32s(): Generator<SystemAdler32> {
  for (const source of SOURCES) {
    const found = bind(source);
    if (found !== null) yield found;
  }
}

/** The first of {@link systemAdler32s}, or null. */
export function systemAdler32(): SystemAdler32 | null {
  const [first] = systemAdler32s();
  return first ?? null;
}

function bind({ name, soname, symbol, word }: (typeof SOURCES)[number]): SystemAdler32 | null {
  return withSystemLibrary(soname, (library) => {
    const sum = library.func(`${word} ${symbol}(${word} sum, const void *bytes, size_t length)`);
    const update = (before: number, bytes: Uint8Array): number => {
      // The address of no bytes may be null, which both functions take for "begin anew".
      if (bytes.length === 0) return before;
      const after = sum(before, bytes, bytes.length);
      assert.ok(typeof after === 'number');
      return after;
    };
    const shared = Buffer.from(new SharedArrayBuffer(KNOWN_TEXT.length));
    shared.write(KNOWN_TEXT);
    assert.equal(update(update(1, shared.subarray(0, 4)), shared.subarray(4)), KNOWN_SUM);
    return { name, update };
  });
}
