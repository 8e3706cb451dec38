import { ByteQueue } from '../bytes/index.js';
import { ProtocolError } from '../errors/index.js';
import {
  decodeFrameHeader,
  FRAME_HEADER_LENGTH,
  type FrameHeader,
  requireTerminator,
  TERMINATOR,
} from './frame-header.js';
import { FrameSequence } from './frame-sequence.js';
import type { Lz4Blocks } from './lz4-block.js';
import { Lz4FrameDecoder } from './lz4-decode.js';
import { MAX_META_LENGTH, parseMeta, type StreamMeta } from './meta.js';
import { StoredSizes, TrailerParser } from './trailer-decode.js';

/** What a stream says, in its order. All offsets named `fileOffset` count from the first byte of META. */
export type StreamEvent =
  | { readonly type: 'meta'; readonly meta: StreamMeta }
  /** Content of the disk, decoded; part of a DATA frame. A view: valid as long as the pushed chunk. */
  | { readonly type: 'data'; readonly offset: number; readonly bytes: Buffer }
  /** The DATA frame whose content came just before, complete. */
  | {
      readonly type: 'frame';
      readonly offset: number;
      readonly length: number;
      readonly fileOffset: number;
      readonly storedLength: number;
    }
  | { readonly type: 'zero'; readonly offset: number; readonly length: number; readonly fileOffset: number }
  | { readonly type: 'stop'; readonly fileOffset: number }
  /** The trailer agrees with the frames. */
  | { readonly type: 'trailer'; readonly entryCount: number };

type Step = 'meta-header' | 'meta' | 'frame' | 'payload' | 'terminator' | 'trailer' | 'trailer-end' | 'end';

/** A DATA frame under way. */
interface Payload {
  readonly header: FrameHeader;
  readonly fileOffset: number;
  decoded: number;
  lz4: Lz4FrameDecoder | undefined;
}

/**
 * Reads a SparseStream of version 1 or 2, plain or LZ4, in pieces of any length and without its trailer's help. Every
 * fault is a ProtocolError with the file offset at which it lies. It holds one LZ4 block of at most 4 MiB, META of at
 * most 1 MiB, and the stored sizes of compressed frames, to compare them with the trailer.
 *
 * @throws ProtocolError VB_SPARSE_…; see docs/errors.md
 */
export class SparseStreamDecoder {
  readonly #queue = new ByteQueue();
  readonly #sizes = new StoredSizes();
  #step: Step = 'meta-header';
  #metaLength = 0;
  #meta: StreamMeta | undefined;
  #sequence: FrameSequence | undefined;
  #payload: Payload | undefined;
  #trailer: TrailerParser | undefined;
  #trailerStart = 0;
  #entries = 0;
  readonly #blocks: Lz4Blocks | undefined;

  /** @param options - `blocks`: what decodes LZ4 blocks, if not what this machine has */
  constructor({ blocks }: { readonly blocks?: Lz4Blocks | undefined } = {}) {
    this.#blocks = blocks;
  }

  *push(chunk: Buffer): Generator<StreamEvent> {
    this.#queue.push(chunk);
    for (let moved = true; moved; ) {
      const before = this.#queue.offset;
      const step = this.#step;
      yield* this.#advance();
      moved = this.#queue.offset !== before || this.#step !== step;
    }
  }

  /** @throws ProtocolError VB_SPARSE_TRUNCATED if the stream is not complete */
  end(): void {
    if (this.#step === 'end') return;
    const where = this.#payload === undefined ? this.#step : `data frame at ${this.#payload.header.start}`;
    const at = this.#queue.offset + this.#queue.length;
    throw new ProtocolError('VB_SPARSE_TRUNCATED', `stream ends early, in ${where}`, at);
  }

  *#advance(): Generator<StreamEvent> {
    switch (this.#step) {
      case 'meta-header':
        return this.#readMetaHeader();
      case 'meta':
        return yield* this.#readMeta();
      case 'frame':
        return yield* this.#readFrame();
      case 'payload':
        return yield* this.#readPayload();
      case 'terminator':
        return yield* this.#readTerminator();
      case 'trailer':
        return this.#readTrailer();
      case 'trailer-end':
        return yield* this.#readTrailerEnd();
      case 'end':
        if (this.#queue.length > 0) {
          const message = `${this.#queue.length} bytes or more behind the end of the stream`;
          throw new ProtocolError('VB_SPARSE_EXCESS', message, this.#queue.offset);
        }
    }
  }

  #readMetaHeader(): void {
    const header = this.#readHeader();
    if (header === undefined) return;
    if (header.kind !== 'meta') {
      throw new ProtocolError('VB_SPARSE_HEADER', `stream begins with a ${header.kind} frame`, 0);
    }
    if (header.length > MAX_META_LENGTH) {
      throw new ProtocolError('VB_SPARSE_LIMIT', `META of ${header.length} bytes, ${MAX_META_LENGTH} allowed`, 22);
    }
    this.#metaLength = header.length;
    this.#step = 'meta';
  }

  *#readMeta(): Generator<StreamEvent> {
    const at = this.#queue.offset;
    const json = this.#queue.take(this.#metaLength + TERMINATOR.length);
    if (json === undefined) return;
    requireTerminator(json.subarray(this.#metaLength), at + this.#metaLength);
    this.#meta = parseMeta(json.subarray(0, this.#metaLength), at);
    this.#sequence = new FrameSequence(this.#meta);
    this.#step = 'frame';
    yield { type: 'meta', meta: this.#meta };
  }

  *#readFrame(): Generator<StreamEvent> {
    const fileOffset = this.#queue.offset;
    const header = this.#readHeader();
    if (header === undefined) return;
    const { kind, start: offset, length } = header;
    switch (kind) {
      case 'data':
        this.#sequence?.accept(header, fileOffset);
        this.#payload = { header, fileOffset, decoded: 0, lz4: undefined };
        this.#step = 'payload';
        return;
      case 'zero':
        this.#sequence?.accept(header, fileOffset);
        yield { type: 'zero', offset, length, fileOffset };
        return;
      case 'stop':
        this.#sequence?.stop(fileOffset);
        this.#step = this.#meta?.compressed === true ? 'trailer' : 'end';
        this.#trailerStart = this.#queue.offset;
        yield { type: 'stop', fileOffset };
        return;
      case 'meta':
      case 'comp':
        throw new ProtocolError('VB_SPARSE_FRAME', `${kind} frame between data frames`, fileOffset);
    }
  }

  *#readPayload(): Generator<StreamEvent> {
    const payload = this.#payload;
    if (payload === undefined) return;
    const { start, length } = payload.header;
    if (this.#meta?.compressed === true) yield* this.#readLz4(payload);
    else {
      const bytes = this.#queue.takeSome(length - payload.decoded);
      if (bytes !== undefined) {
        payload.decoded += bytes.length;
        yield { type: 'data', offset: start + payload.decoded - bytes.length, bytes };
      }
    }
    if (payload.decoded === length && payload.lz4 === undefined) this.#step = 'terminator';
  }

  *#readLz4(payload: Payload): Generator<StreamEvent> {
    const { start, length } = payload.header;
    const options = { base: 0, limit: length - payload.decoded, blocks: this.#blocks };
    const lz4 = payload.lz4 ?? new Lz4FrameDecoder(this.#queue, options);
    payload.lz4 = lz4;
    for (const bytes of lz4.decode()) {
      yield { type: 'data', offset: start + payload.decoded, bytes };
      payload.decoded += bytes.length;
    }
    if (!lz4.done) return;
    if (lz4.decodedLength === 0) {
      const at = this.#queue.offset - lz4.storedLength;
      throw new ProtocolError(
        'VB_SPARSE_LZ4_LENGTH',
        `LZ4 frame is empty, up to ${length - payload.decoded} expected`,
        at,
      );
    }
    this.#sizes.addPart(lz4.storedLength, this.#queue.offset);
    payload.lz4 = undefined;
  }

  *#readTerminator(): Generator<StreamEvent> {
    const at = this.#queue.offset;
    const bytes = this.#queue.take(TERMINATOR.length);
    if (bytes === undefined || this.#payload === undefined) return;
    requireTerminator(bytes, at);
    const { header, fileOffset } = this.#payload;
    this.#payload = undefined;
    this.#step = 'frame';
    if (this.#meta?.compressed === true) this.#sizes.endFrame();
    const storedLength = at - fileOffset - FRAME_HEADER_LENGTH;
    yield { type: 'frame', offset: header.start, length: header.length, fileOffset, storedLength };
  }

  #readTrailer(): void {
    this.#trailer ??= new TrailerParser(this.#trailerStart, ({ sum, parts }, at) => {
      this.#sizes.check({ index: this.#entries, sum, parts, at });
      this.#entries += 1;
    });
    for (
      let bytes = this.#queue.peekSome();
      bytes !== undefined && !this.#trailer.done;
      bytes = this.#queue.peekSome()
    ) {
      this.#queue.takeSome(this.#trailer.push(bytes));
    }
    if (this.#trailer.done) this.#step = 'trailer-end';
  }

  *#readTrailerEnd(): Generator<StreamEvent> {
    const at = this.#queue.offset;
    const bytes = this.#queue.take(TERMINATOR.length + FRAME_HEADER_LENGTH);
    if (bytes === undefined) return;
    requireTerminator(bytes.subarray(0, TERMINATOR.length), at);
    const header = decodeFrameHeader(bytes.subarray(TERMINATOR.length), at + TERMINATOR.length);
    if (header.kind !== 'comp' || header.length !== at - this.#trailerStart) {
      const message = `trailer of ${at - this.#trailerStart} bytes ends with a ${header.kind} frame of ${header.length}`;
      throw new ProtocolError('VB_SPARSE_TRAILER', message, at + TERMINATOR.length);
    }
    if (this.#entries !== this.#sizes.count) {
      const message = `trailer lists ${this.#entries} data frames, the stream has ${this.#sizes.count}`;
      throw new ProtocolError('VB_SPARSE_TRAILER', message, this.#trailerStart);
    }
    this.#step = 'end';
    yield { type: 'trailer', entryCount: this.#entries };
  }

  #readHeader(): FrameHeader | undefined {
    const at = this.#queue.offset;
    const bytes = this.#queue.take(FRAME_HEADER_LENGTH);
    return bytes === undefined ? undefined : decodeFrameHeader(bytes, at);
  }
}
