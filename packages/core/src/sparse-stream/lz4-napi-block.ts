import { createRequire } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type * as lz4Napi from 'lz4-napi';
import { copyInto } from '../memory/shared-bytes.js';
import type { Lz4Blocks } from './lz4-block.js';

/** Both native calls have the decoded size in front of a block, little-endian. */
const SIZE_WORD_LENGTH = 4;

/** Bytes of blocks between two collections of garbage. */
const COLLECTION_INTERVAL = 8 * 1024 * 1024;

/** LZ4 by lz4-napi, which comes with vbackup: for machines whose own library cannot be used. It allocates what it returns. */
export class NapiLz4 implements Lz4Blocks {
  readonly name = 'lz4-napi';
  readonly #lz4: typeof lz4Napi = createRequire(import.meta.url)('lz4-napi');
  /** Where a block gets its size in front; as long as the longest block so far. */
  #scratch = Buffer.alloc(0);
  readonly #collect = exposeCollection();
  #sinceCollection = 0;

  compress({ bytes, target }: { readonly bytes: Buffer; readonly target: Buffer }): number {
    const block = this.#lz4.compressSync(bytes).subarray(SIZE_WORD_LENGTH);
    this.#leave(bytes.length);
    return block.length > target.length ? 0 : copyInto(target, 0, block);
  }

  decompress(of: { readonly block: Buffer; readonly target: Buffer; readonly history: Buffer }): number | null {
    const { block, target, history } = of;
    // The native call takes the size as its limit: a block cannot make it allocate more.
    const sized = this.#sized(target.length, block);
    this.#leave(target.length);
    try {
      return copyInto(target, 0, this.#lz4.uncompressSync(sized, history.length === 0 ? null : history));
    } catch {
      // Whatever it says, the block is what is wrong.
      return null;
    }
  }

  /** Good until the next one, since the call is over by then. */
  #sized(size: number, block: Buffer): Buffer {
    const length = SIZE_WORD_LENGTH + block.length;
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length);
    this.#scratch.writeUInt32LE(size, 0);
    block.copy(this.#scratch, SIZE_WORD_LENGTH);
    return this.#scratch.subarray(0, length);
  }
  /**
   * The native calls return every block in new memory outside the heap, which the collector does not see as pressure until
   * hundreds of MiB lie about; it is given back between turns of the event loop. A minor collection takes well under a millisecond.
   */
  #leave(length: number): void {
    this.#sinceCollection += length;
    if (this.#sinceCollection < COLLECTION_INTERVAL) return;
    this.#sinceCollection = 0;
    this.#collect();
  }
}

function exposeCollection(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  return typeof collect === 'function' ? () => Reflect.apply(collect, undefined, [{ type: 'minor' }]) : () => undefined;
}
