import assert from 'node:assert/strict';
import type { Lz4Blocks } from './lz4-block.js';
import { type SystemFunction, type SystemLibrary, withSystemLibrary } from './system-library.js';

/** The library's name; systemd, dpkg and rpm need it, so that every distribution has it. */
const SONAME = 'liblz4.so.1';
/** 1.9.2: before it, compressing to less than the worst case's length could write beyond it (CVE-2019-17543). */
const OLDEST_VERSION = 10_902;

const EIGHT = 'abcdefgh';
/** Eight literals, sixteen bytes from eight back, eight literals. */
const KNOWN_BLOCK = Buffer.from(`\x8c${EIGHT}\x08\0\x80${EIGHT}`, 'latin1');
const KNOWN_TEXT = EIGHT.repeat(4);
/** Eight bytes from eight back, which is before the block, and eight literals. */
const LINKED_BLOCK = Buffer.from(`\x04\x08\0\x80ijklmnop`, 'latin1');
const LINKED_TEXT = `${EIGHT}ijklmnop`;

/** LZ4 by the system's own library: straight into memory that is there already, and decoding in a third of lz4-napi's time. */
class SystemLz4 implements Lz4Blocks {
  readonly name: string;
  readonly #compress: SystemFunction;
  readonly #decompress: SystemFunction;

  /** @throws Error for a library that lacks a function, or is too old */
  constructor(library: SystemLibrary) {
    const version = library.func('int LZ4_versionNumber()')();
    assert.ok(typeof version === 'number' && version >= OLDEST_VERSION, `liblz4 ${String(version)}`);
    const [major, rest] = [Math.floor(version / 10_000), version % 10_000];
    this.name = `liblz4 ${major}.${Math.floor(rest / 100)}.${rest % 100}`;
    this.#compress = library.func(
      'int LZ4_compress_default(const void *source, void *target, int length, int capacity)',
    );
    // The one for independent blocks is the same function with no history.
    this.#decompress = library.func(
      'int LZ4_decompress_safe_usingDict(const void *block, void *target, int length, int capacity, const void *history, int history_length)',
    );
  }

  compress({ bytes, target }: { readonly bytes: Buffer; readonly target: Buffer }): number {
    return int(this.#compress(bytes, target, bytes.length, target.length));
  }

  decompress(of: { readonly block: Buffer; readonly target: Buffer; readonly history: Buffer }): number | null {
    const { block, target, history } = of;
    const { length } = block;
    const decoded = int(this.#decompress(block, target, length, target.length, history, history.length));
    return decoded < 0 ? null : decoded;
  }
}

function int(value: unknown): number {
  assert.ok(typeof value === 'number');
  return value;
}

/** The system's LZ4; null where it is missing, too old, or gives other answers than the format's. */
export function systemLz4(): Lz4Blocks | null {
  return withSystemLibrary(SONAME, (library) => {
    const blocks = new SystemLz4(library);
    askKnown(blocks);
    return blocks;
  });
}

/** Asks what is known, in shared memory, as it is used. @throws AssertionError for another answer */
function askKnown(blocks: Lz4Blocks): void {
  const memory = Buffer.from(new SharedArrayBuffer(256));
  memory.write(EIGHT, 0);
  const [history, none] = [memory.subarray(0, EIGHT.length), memory.subarray(0, 0)];
  const decode = (block: Buffer, length: number, before: Buffer): string | null => {
    const target = memory.subarray(EIGHT.length, EIGHT.length + length).fill('?');
    const decoded = blocks.decompress({ block, target, history: before });
    return decoded === null ? null : target.toString('latin1', 0, decoded);
  };
  assert.equal(decode(KNOWN_BLOCK, KNOWN_TEXT.length, none), KNOWN_TEXT);
  assert.equal(decode(KNOWN_BLOCK, KNOWN_TEXT.length - 1, none), null);
  assert.equal(decode(LINKED_BLOCK, LINKED_TEXT.length, history), LINKED_TEXT);
  assert.equal(decode(LINKED_BLOCK, LINKED_TEXT.length, none), null);
  const bytes = memory.subarray(0, 64).fill('?');
  const target = memory.subarray(128);
  const length = blocks.compress({ bytes, target });
  assert.ok(length > 0 && length < bytes.length, `${bytes.length} bytes became ${length}`);
  assert.equal(decode(Buffer.from(target.subarray(0, length)), bytes.length, none), '?'.repeat(bytes.length));
  assert.equal(blocks.compress({ bytes, target: target.subarray(0, length - 1) }), 0);
}
