import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { writeFully } from '../../storage/durable.js';
import {
  encodeIndexFooter,
  encodeIndexHeader,
  encodeRecord,
  type FrameRecord,
  type IndexHeader,
  RECORD_LENGTH,
} from './frame-record.js';

const BUFFERED_RECORDS = 1024;

/** Writes the index of one stream, in pieces of 64 KiB. */
export class FrameIndexWriter {
  readonly #file: FileHandle;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.alloc(BUFFERED_RECORDS * RECORD_LENGTH);
  #filled = 0;
  #position = 0;
  #count = 0;

  constructor(file: FileHandle, header: IndexHeader) {
    this.#file = file;
    encodeIndexHeader(header).copy(this.#buffer);
    this.#filled = RECORD_LENGTH;
  }

  /** True when {@link flush} is due before the next record. */
  get full(): boolean {
    return this.#filled === this.#buffer.length;
  }

  /** Frames in ascending order. */
  async append(record: FrameRecord): Promise<void> {
    if (this.full) await this.#flush();
    encodeRecord(record, this.#buffer, this.#filled);
    this.#filled += RECORD_LENGTH;
    this.#count += 1;
  }

  /** Writes the footer; not synced. */
  async finish(): Promise<void> {
    await this.#flush();
    encodeIndexFooter(this.#count, this.#hash.digest()).copy(this.#buffer);
    await writeFully(this.#file, this.#buffer.subarray(0, RECORD_LENGTH), this.#position);
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#filled);
    this.#hash.update(bytes);
    await writeFully(this.#file, bytes, this.#position);
    this.#position += bytes.length;
    this.#filled = 0;
  }
}
