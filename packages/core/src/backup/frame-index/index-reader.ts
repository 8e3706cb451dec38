import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { ProtocolError } from '../../errors/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { readFully } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import {
  decodeIndexHeader,
  decodeRecord,
  FOOTER_MAGIC,
  type FrameRecord,
  type IndexHeader,
  RECORD_LENGTH,
  readLength,
} from './frame-record.js';

interface Shape extends IndexHeader {
  readonly count: number;
}

const SCAN_RECORDS = 1024;
/** Single records are read with their neighbours: the next frames are asked for next. */
const PAGE_RECORDS = 256;
/** Pages that are kept, the most recently used ones: 1 MiB, for 16,384 frames. */
const PAGE_COUNT = 64;

/** The index of one stream, opened: checked as a whole by `scan`, then single records by number. */
export class FrameIndexReader implements AsyncDisposable {
  readonly path: string;
  /** The disk's. */
  readonly size: number;
  /** Of every digest in it. */
  readonly algorithm: DigestAlgorithm;
  readonly count: number;
  readonly #file: FileHandle;
  /** In the order of their last use. */
  readonly #pages = new Map<number, Promise<Buffer>>();

  private constructor(file: FileHandle, path: string, shape: Shape) {
    this.#file = file;
    this.path = path;
    this.size = shape.size;
    this.algorithm = shape.algorithm;
    this.count = shape.count;
  }

  /** @throws ProtocolError VB_INDEX_DAMAGED: not an index, cut short, or longer than its footer says */
  static async open(path: string): Promise<FrameIndexReader> {
    return withIo(`cannot read the index ${path}`, async () => {
      const file = await open(path, 'r');
      try {
        return new FrameIndexReader(file, path, await readShape(file, path));
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  /**
   * Every record in order, each checked: ascending, disjoint, inside the disk; and at the end the index's own digest, and
   * that of the whole file if `sha256` says what it must be: an index of another backup is sound in itself.
   * @throws ProtocolError VB_INDEX_DAMAGED
   */
  async *scan(options: WithSignal & { readonly sha256?: string | undefined } = {}): AsyncGenerator<FrameRecord> {
    const hash = createHash('sha256');
    const header = Buffer.alloc(RECORD_LENGTH);
    await readFully(this.#file, header, 0);
    hash.update(header);
    let end = 0;
    let fileEnd = 0;
    for (let first = 0; first < this.count; first += SCAN_RECORDS) {
      options.signal?.throwIfAborted();
      const bytes = await this.#bytes(first, Math.min(SCAN_RECORDS, this.count - first));
      hash.update(bytes);
      for (const record of this.#decode(bytes, first)) {
        const at = (1 + first) * RECORD_LENGTH;
        if (record.offset < end || record.offset + record.length > this.size || record.fileOffset < fileEnd) {
          throw this.#damaged(`frame at disk offset ${record.offset} is out of order or beyond the disk`, at);
        }
        end = record.offset + record.length;
        fileEnd = record.fileOffset + record.storedLength;
        yield record;
      }
    }
    const footer = await this.#bytes(this.count, 1);
    const whole = hash.copy().update(footer).digest('hex');
    if (!hash.digest().equals(footer.subarray(32)))
      throw this.#damaged('digest differs', (this.count + 1) * RECORD_LENGTH);
    if (options.sha256 !== undefined && whole !== options.sha256)
      throw this.#damaged('it is not the one that the manifest names', 0);
  }

  /** One record by number. */
  async record(number: number): Promise<FrameRecord> {
    const position = (number + 1) * RECORD_LENGTH;
    if (number < 0 || number >= this.count) throw this.#damaged(`no frame ${number}`, position);
    const page = await this.#page(Math.floor(number / PAGE_RECORDS));
    return decodeRecord(page, (number % PAGE_RECORDS) * RECORD_LENGTH, position);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  *#decode(bytes: Buffer, first: number): Generator<FrameRecord> {
    for (let at = 0; at < bytes.length; at += RECORD_LENGTH) {
      yield decodeRecord(bytes, at, (1 + first) * RECORD_LENGTH + at);
    }
  }

  #page(pageNumber: number): Promise<Buffer> {
    const page = this.#pages.get(pageNumber) ?? this.#readPage(pageNumber);
    this.#pages.delete(pageNumber);
    this.#pages.set(pageNumber, page);
    if (this.#pages.size > PAGE_COUNT) {
      const oldest = this.#pages.keys().next();
      if (oldest.done !== true) this.#pages.delete(oldest.value);
    }
    return page;
  }

  #readPage(pageNumber: number): Promise<Buffer> {
    const first = pageNumber * PAGE_RECORDS;
    const page = this.#bytes(first, Math.min(PAGE_RECORDS, this.count - first));
    // What could not be read is asked for again.
    page.catch(() => this.#pages.delete(pageNumber));
    return page;
  }

  async #bytes(first: number, count: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(count * RECORD_LENGTH);
    const position = (1 + first) * RECORD_LENGTH;
    const filled = await withIo(`cannot read the index ${this.path}`, () => readFully(this.#file, bytes, position));
    if (filled < bytes.length) throw this.#damaged('cut short', position + filled);
    return bytes;
  }

  #damaged(detail: string, offset: number): ProtocolError {
    return new ProtocolError('VB_INDEX_DAMAGED', `index ${this.path}: ${detail}`, offset);
  }
}

async function readShape(file: FileHandle, path: string): Promise<Shape> {
  const { size: length } = await file.stat();
  const header = Buffer.alloc(RECORD_LENGTH);
  const footer = Buffer.alloc(RECORD_LENGTH);
  await readFully(file, header, 0);
  await readFully(file, footer, Math.max(0, length - RECORD_LENGTH));
  const shape = decodeIndexHeader(header, path);
  const count = readLength(footer, 8, Math.max(0, length - RECORD_LENGTH));
  if (!footer.subarray(0, 8).equals(FOOTER_MAGIC) || (count + 2) * RECORD_LENGTH !== length) {
    throw new ProtocolError('VB_INDEX_DAMAGED', `index ${path} is cut short`, length);
  }
  return { ...shape, count };
}
