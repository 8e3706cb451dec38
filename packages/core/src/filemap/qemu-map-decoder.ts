import { ProtocolError } from '../errors/index.js';
import type { Finding } from './cover.js';

/** One entry is one line of less than 200 characters. */
const MAXIMUM_LINE_LENGTH = 16 * 1024;

/**
 * Reads what `qemu-img map --output=json` prints: one array, one entry per line (qemu-img.c, dump_map_entry). QEMU does
 * not tell a hole from what is preallocated: both are called a hole. What it neither calls data nor zero is data.
 */
export class QemuMapDecoder {
  #line = '';
  #offset = 0;
  #state: 'begin' | 'entries' | 'end' = 'begin';

  /** @throws ProtocolError VB_FILE_MAP */
  *push(chunk: string): Generator<Finding> {
    const lines = (this.#line + chunk).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const finding = this.#read(line);
      this.#offset += line.length + 1;
      if (finding !== undefined) yield finding;
    }
    if (this.#line.length > MAXIMUM_LINE_LENGTH) throw this.#fault('has a line without an end');
  }

  /** @throws ProtocolError VB_FILE_MAP unless the array was closed */
  end(): void {
    if (this.#state !== 'end' || this.#line !== '') throw this.#fault('stops early');
  }

  #read(line: string): Finding | undefined {
    const begins = line.startsWith('[');
    if (this.#state === 'end' || begins !== (this.#state === 'begin')) throw this.#fault('is no list of extents');
    this.#state = 'entries';
    const last = line.endsWith(']');
    if (!last && !line.endsWith(',')) throw this.#fault('has a line that is cut off');
    if (last) this.#state = 'end';
    const text = line.slice(begins ? 1 : 0, -1).trim();
    if (text === '' && last) return undefined;
    return this.#parse(text);
  }

  #parse(text: string): Finding | undefined {
    const entry = this.#json(text);
    if (typeof entry !== 'object' || entry === null) throw this.#fault('has an entry that is no object');
    const { start, length, zero, data } = { start: null, length: null, zero: null, data: null, ...entry };
    if (!isOffset(start) || !isOffset(length)) throw this.#fault('has an entry without start and length');
    // An empty file has one entry without a byte.
    if (length === 0) return undefined;
    if (zero !== true) return { offset: start, length, kind: 'data' };
    return { offset: start, length, kind: data === false ? 'hole' : 'zero' };
  }

  #json(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.#fault('has an entry that is no JSON', cause);
    }
  }

  #fault(what: string, cause?: unknown): ProtocolError {
    return new ProtocolError('VB_FILE_MAP', `the map of qemu-img ${what}`, this.#offset, { cause });
  }
}

const isOffset = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
