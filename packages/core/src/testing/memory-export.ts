import { type Extent, endOf, splitAt } from '../extent/index.js';
import type { ContextExtent, NbdExport } from '../nbd/index.js';
import { NBD_STATE_HOLE, NBD_STATE_ZERO } from '../nbd/index.js';

/** What was never written takes no memory, in pieces of this many bytes. */
const PAGE_LENGTH = 64 * 1024;

export interface MemoryExportOptions {
  readonly name?: string;
  readonly description?: string;
  readonly size: number;
  readonly readOnly?: boolean;
  readonly minimumBlock?: number;
  readonly maximumBlock?: number;
}

/** A sparse disk in memory, shared by every connection that is given it. */
export class MemoryExport implements NbdExport {
  readonly name: string;
  readonly description: string | undefined;
  readonly size: number;
  readonly readOnly: boolean;
  readonly multiConn = true;
  readonly minimumBlock: number | undefined;
  readonly maximumBlock: number | undefined;
  readonly metaContexts = ['base:allocation'];
  /** How often each was called, for tests that want to know. */
  readonly calls = { read: 0, write: 0, zero: 0, trim: 0, flush: 0, fua: 0, status: 0, close: 0 };
  readonly #pages = new Map<number, Buffer>();

  constructor(options: MemoryExportOptions) {
    this.name = options.name ?? '';
    this.description = options.description;
    this.size = options.size;
    this.readOnly = options.readOnly ?? false;
    this.minimumBlock = options.minimumBlock;
    this.maximumBlock = options.maximumBlock;
  }

  async read(offset: number, target: Buffer): Promise<void> {
    this.calls.read += 1;
    for (const piece of pieces({ offset, length: target.length })) {
      const page = this.#pages.get(pageOf(piece));
      const into = target.subarray(piece.offset - offset, endOf(piece) - offset);
      if (page === undefined) into.fill(0);
      else page.copy(into, 0, piece.offset % PAGE_LENGTH);
    }
  }

  async write(offset: number, bytes: Buffer, options: { readonly fua?: boolean } = {}): Promise<void> {
    this.calls.write += 1;
    this.#count(options);
    for (const piece of pieces({ offset, length: bytes.length })) {
      bytes.copy(this.#page(piece), piece.offset % PAGE_LENGTH, piece.offset - offset, endOf(piece) - offset);
    }
  }

  async zero(range: Extent, options: { readonly fua?: boolean; readonly hole?: boolean } = {}): Promise<void> {
    this.calls.zero += 1;
    this.#count(options);
    for (const piece of pieces(range)) {
      if (piece.length === PAGE_LENGTH && options.hole === true) this.#pages.delete(pageOf(piece));
      else this.#page(piece).fill(0, piece.offset % PAGE_LENGTH, (piece.offset % PAGE_LENGTH) + piece.length);
    }
  }

  async trim(range: Extent, options: { readonly fua?: boolean } = {}): Promise<void> {
    this.calls.trim += 1;
    this.#count(options);
    for (const piece of pieces(range)) {
      if (piece.length === PAGE_LENGTH) this.#pages.delete(pageOf(piece));
    }
  }

  async flush(): Promise<void> {
    this.calls.flush += 1;
  }

  async status(_context: string, range: Extent): Promise<readonly ContextExtent[]> {
    this.calls.status += 1;
    return [...pieces(range)].map((piece) => ({
      length: piece.length,
      flags: this.#pages.has(pageOf(piece)) ? 0 : NBD_STATE_HOLE + NBD_STATE_ZERO,
    }));
  }

  async close(): Promise<void> {
    this.calls.close += 1;
  }

  #page(piece: Extent): Buffer {
    const found = this.#pages.get(pageOf(piece));
    if (found !== undefined) return found;
    const page = Buffer.alloc(PAGE_LENGTH);
    this.#pages.set(pageOf(piece), page);
    return page;
  }

  #count(options: { readonly fua?: boolean }): void {
    if (options.fua === true) this.calls.fua += 1;
  }
}

const pieces = (range: Extent): Generator<Extent> => splitAt([range], PAGE_LENGTH);

const pageOf = (piece: Extent): number => Math.floor(piece.offset / PAGE_LENGTH);
