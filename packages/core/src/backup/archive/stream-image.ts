import { ProtocolError } from '../../errors/index.js';
import { type AllocationExtent, coalesce, type Extent, endOf } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { fillZeros } from '../../memory/shared-bytes.js';
import { type Piece, SparseStreamFile } from '../../sparse-stream/index.js';
import { DamagedFrameError } from '../image/damaged-frame.js';

/** The longest piece that is asked for at once. */
const MAXIMUM_REQUEST = 1024 * 1024;

/**
 * The disk that a chain of SparseStream files describes, the newest file on top. Reads are best in ascending order: frames of
 * others may be long, and are decoded from their beginning otherwise.
 */
export class StreamImage implements BlockReader {
  readonly size: number;
  readonly limits = { alignment: 1, maximumRequest: MAXIMUM_REQUEST, maximumInFlight: 1 };
  readonly #layers: readonly Layer[];
  #turn: Promise<void> = Promise.resolve();

  private constructor(size: number, layers: readonly Layer[]) {
    this.size = size;
    this.#layers = layers;
  }

  /**
   * @param paths - from the full to the newest
   * @throws ProtocolError VB_SPARSE_…; VBackupError VB_IO, VB_ABORTED
   */
  static async open(paths: readonly string[], options: WithSignal = {}): Promise<StreamImage> {
    const layers: Layer[] = [];
    try {
      for (const path of paths) layers.push(new Layer(path, await SparseStreamFile.open(path, options)));
    } catch (error) {
      for (const layer of layers) await layer.close();
      throw error;
    }
    return new StreamImage(layers.at(-1)?.file.index.meta.virtualSize ?? 0, layers);
  }

  read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    const read = this.#turn.then(() => this.#read(offset, target, options));
    // The next one waits for this one, and does not fail with it.
    this.#turn = read.catch(() => undefined);
    return read;
  }

  async *allocation(range: Extent): AsyncGenerator<AllocationExtent> {
    const end = endOf(range);
    const data = this.#layers
      .flatMap(({ file }) => [...file.index.frames(range)].filter(({ kind }) => kind === 'data'))
      .map((frame) => {
        const offset = Math.max(frame.offset, range.offset);
        return { offset, length: Math.min(endOf(frame), end) - offset };
      })
      .toSorted((left, right) => left.offset - right.offset);
    let at = range.offset;
    for (const extent of coalesce(data)) {
      if (extent.offset > at) yield { offset: at, length: extent.offset - at, kind: 'zero' };
      yield { ...extent, kind: 'data' };
      at = endOf(extent);
    }
    if (at < end) yield { offset: at, length: end - at, kind: 'zero' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    for (const layer of this.#layers) await layer.close();
  }

  async #read(offset: number, target: Buffer, options: WithSignal): Promise<void> {
    fillZeros(target, 0, target.length);
    const range = { offset, length: target.length };
    for (const layer of this.#layers) {
      for (const frame of layer.file.index.frames(range)) {
        if (frame.kind !== 'zero') continue;
        fillZeros(target, Math.max(0, frame.offset - offset), Math.min(target.length, endOf(frame) - offset));
      }
      for await (const piece of layer.pieces(range, options)) {
        const from = Math.max(0, offset - piece.offset);
        piece.bytes.copy(target, piece.offset + from - offset, from);
      }
    }
  }
}

/** One file, and how far it was read. */
class Layer {
  readonly file: SparseStreamFile;
  readonly #path: string;
  #reading: AsyncGenerator<Piece> | undefined;
  /** Nothing in front of it comes any more. */
  #position = 0;
  #waiting: Piece | undefined;

  constructor(path: string, file: SparseStreamFile) {
    this.#path = path;
    this.file = file;
  }

  /** What touches the range, whole. @throws DamagedFrameError VB_SPARSE_…; VBackupError VB_IO, VB_ABORTED */
  async *pieces(range: Extent, options: WithSignal): AsyncGenerator<Piece> {
    try {
      yield* this.#pieces(range, options);
    } catch (error) {
      // Nothing more comes of that reading: who asks next begins anew, and hears of it again.
      this.#reading = undefined;
      if (!(error instanceof ProtocolError)) throw error;
      const what = `disk ${this.file.index.meta.diskName}`;
      const place = { file: this.#path, offset: error.offset, extent: range, what };
      throw new DamagedFrameError(error.code, place, error.message, error);
    }
  }

  async *#pieces(range: Extent, options: WithSignal): AsyncGenerator<Piece> {
    if (this.#reading === undefined || range.offset < this.#position) await this.#restart(range.offset, options);
    for (;;) {
      const piece = this.#waiting ?? (await this.#next());
      this.#waiting = piece;
      if (piece === undefined || piece.offset >= endOf(range)) return;
      if (piece.offset + piece.bytes.length > range.offset) yield piece;
      // One that goes on behind the range is wanted again.
      if (piece.offset + piece.bytes.length > endOf(range)) return;
      this.#position = piece.offset + piece.bytes.length;
      this.#waiting = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#reading?.return(undefined);
    await this.file[Symbol.asyncDispose]();
  }

  async #restart(offset: number, options: WithSignal): Promise<void> {
    await this.#reading?.return(undefined);
    this.#reading = this.file.read({ offset, length: this.file.index.meta.virtualSize - offset }, options);
    this.#position = offset;
    this.#waiting = undefined;
  }

  async #next(): Promise<Piece | undefined> {
    const next = await this.#reading?.next();
    return next === undefined || next.done === true ? undefined : next.value;
  }
}
