import { ByteQueue, readUInt64LE } from '@vbackup/core';
import { XapiFailure } from '../rpc/call.js';

const HEADER_LENGTH = 12;

/** Bytes for one place of the disk. */
export interface Placed {
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * The body of `import_raw_vdi` with `chunked=true`, ended by an empty chunk at offset 0 (xen-api-libs, chunked):
 *
 *     | offset u64 LE | length u32 LE | data … |
 *
 * Data is handed out as it comes, in pieces.
 */
export class ChunkedBodyDecoder {
  readonly #queue = new ByteQueue();
  #offset = 0;
  #left = 0;
  #ended = false;

  *push(chunk: Buffer): Generator<Placed, void, undefined> {
    this.#queue.push(chunk);
    while (!this.#ended) {
      const next = this.#left === 0 ? this.#header() : this.#piece();
      if (next === undefined) return;
      if (next !== 'header') yield next;
    }
  }

  /** @throws XapiFailure VDI_IO_ERROR when the terminator is missing */
  end(): void {
    if (!this.#ended) throw new XapiFailure('VDI_IO_ERROR', 'the chunked stream ends without its last chunk');
  }

  #header(): 'header' | undefined {
    const header = this.#queue.take(HEADER_LENGTH);
    if (header === undefined) return undefined;
    this.#offset = readUInt64LE(header, 0);
    this.#left = header.readUInt32LE(8);
    this.#ended = this.#left === 0 && this.#offset === 0;
    return 'header';
  }

  #piece(): Placed | undefined {
    const bytes = this.#queue.takeSome(this.#left);
    if (bytes === undefined) return undefined;
    const offset = this.#offset;
    this.#offset += bytes.length;
    this.#left -= bytes.length;
    return { offset, bytes };
  }
}
