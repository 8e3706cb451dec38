import { ProtocolError } from '../errors/index.js';
import { NumberList } from './number-list.js';
import { MAX_TRAILER_ENTRIES } from './trailer-encode.js';

/** The stored sizes of all LZ4 frames, and where the ones of each DATA frame end. */
export class StoredSizes {
  readonly #parts = new NumberList();
  readonly #ends = new NumberList();

  /** DATA frames so far. */
  get count(): number {
    return this.#ends.length;
  }

  /** @throws ProtocolError VB_SPARSE_LIMIT beyond {@link MAX_TRAILER_ENTRIES} */
  addPart(storedLength: number, at: number): void {
    if (this.#parts.length >= MAX_TRAILER_ENTRIES) {
      throw new ProtocolError('VB_SPARSE_LIMIT', `more than ${MAX_TRAILER_ENTRIES} LZ4 frames in one stream`, at);
    }
    this.#parts.push(storedLength);
  }

  endFrame(): void {
    this.#ends.push(this.#parts.length);
  }

  /**
   * Compares one entry of the trailer with what was read.
   * @throws ProtocolError VB_SPARSE_TRAILER
   */
  check(entry: TrailerEntry & { readonly index: number; readonly at: number }): void {
    const found = this.partsOf(entry.index);
    const sum = found.reduce((total, part) => total + part, 0);
    const parts = entry.parts ?? found;
    if (sum !== entry.sum || parts.length !== found.length || parts.some((part, index) => part !== found[index])) {
      const said = `${entry.sum} bytes in ${parts.length} parts for data frame ${entry.index}`;
      const message = `trailer says ${said}, which has ${sum} bytes in ${found.length} parts`;
      throw new ProtocolError('VB_SPARSE_TRAILER', message, entry.at);
    }
  }

  /** Sizes of the LZ4 frames of one DATA frame, by its index. */
  partsOf(index: number): Float64Array {
    return this.#parts.slice(index === 0 ? 0 : (this.#ends.at(index - 1) ?? 0), this.#ends.at(index) ?? 0);
  }
}

/** The stored size of one DATA frame's payload, and of its LZ4 frames where the trailer lists them. */
export interface TrailerEntry {
  readonly sum: number;
  readonly parts: readonly number[] | undefined;
}

/** Receives each entry with its file offset, in order. */
export type OnEntry = (entry: TrailerEntry, at: number) => void;

type Token = { readonly text: string; readonly at: number };

const MAX_DIGITS = 16;
/** 500 GB in parts of 32 MiB are 16,000; one DATA frame may hold this many. */
const MAX_PARTS = 2 ** 20;
const BLANK = new Set([' ', '\t', '\n', '\r']);
const PUNCTUATION = new Set(['[', ']', '{', '}', ',', ':']);

/**
 * Reads the trailer's JSON, `[5354, {"182492": [145941, 36551]}, …]`, in pieces and without holding it: the text may be
 * long, and it is only compared with what was read before.
 */
export class TrailerParser {
  readonly #grammar: Generator<undefined, void, Token>;
  #offset: number;
  #token: Token | undefined;
  #quoted = false;
  #done = false;

  /** @param start - where the JSON begins in the file */
  constructor(start: number, onEntry: OnEntry) {
    this.#offset = start;
    this.#grammar = trailer(onEntry);
    this.#grammar.next();
  }

  /** File offset behind what was consumed. */
  get offset(): number {
    return this.#offset;
  }

  get done(): boolean {
    return this.#done;
  }

  /**
   * Consumes up to the end of the JSON; returns how many bytes.
   * @throws ProtocolError VB_SPARSE_TRAILER
   */
  push(chunk: Buffer): number {
    let at = 0;
    for (; at < chunk.length && !this.#done; at += 1) {
      this.#character(String.fromCharCode(chunk[at] ?? 0));
      this.#offset += 1;
    }
    return at;
  }

  #character(character: string): void {
    if (character >= '0' && character <= '9') {
      this.#token = { text: `${this.#token?.text ?? ''}${character}`, at: this.#token?.at ?? this.#offset };
      if (this.#token.text.length > MAX_DIGITS) fault(this.#token);
      return;
    }
    if (character === '"') {
      this.#quoted = !this.#quoted;
      if (this.#quoted && this.#token !== undefined) fault(this.#token);
      if (this.#quoted) return;
      this.#emit({ text: `"${this.#token?.text ?? ''}`, at: this.#offset });
      this.#token = undefined;
      return;
    }
    const token = { text: character, at: this.#offset };
    if (this.#quoted) fault(token);
    if (this.#token !== undefined) this.#emit(this.#token);
    this.#token = undefined;
    if (PUNCTUATION.has(character)) this.#emit(token);
    else if (!BLANK.has(character)) fault(token);
  }

  #emit(token: Token): void {
    this.#done = this.#grammar.next(token).done === true;
  }
}

/** The grammar, as a program that waits for its next token. */
function* trailer(onEntry: OnEntry): Generator<undefined, void, Token> {
  expect(yield, '[');
  let token = yield;
  if (token.text === ']') return;
  for (;;) {
    if (token.text === '{') yield* parts(onEntry);
    else onEntry({ sum: numberOf(token), parts: undefined }, token.at);
    token = yield;
    if (token.text === ']') return;
    expect(token, ',');
    token = yield;
  }
}

/** Behind `{`: `"sum": [part, …]}`. */
function* parts(onEntry: OnEntry): Generator<undefined, void, Token> {
  const key = yield;
  if (!key.text.startsWith('"')) fault(key);
  const sum = numberOf({ text: key.text.slice(1), at: key.at });
  expect(yield, ':');
  expect(yield, '[');
  const sizes: number[] = [];
  for (let separator = ','; separator !== ']'; ) {
    const token = yield;
    if (sizes.length === MAX_PARTS) fault(token);
    sizes.push(numberOf(token));
    const next = yield;
    if (next.text !== ']') expect(next, ',');
    separator = next.text;
  }
  expect(yield, '}');
  onEntry({ sum, parts: sizes }, key.at);
}

function expect(token: Token, text: string): void {
  if (token.text !== text) fault(token);
}

function numberOf(token: Token): number {
  const value = Number(token.text);
  if (!/^\d+$/.test(token.text) || !Number.isSafeInteger(value)) fault(token);
  return value;
}

function fault(token: Token): never {
  throw new ProtocolError('VB_SPARSE_TRAILER', `trailer cannot be read at ${JSON.stringify(token.text)}`, token.at);
}
