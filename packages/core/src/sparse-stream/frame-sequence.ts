import { ProtocolError } from '../errors/index.js';
import type { FrameHeader } from './frame-header.js';
import type { StreamMeta } from './meta.js';

/** Checks DATA and ZERO frames against META as they come: range, order, cover of a full, and the sum of DATA. */
export class FrameSequence {
  readonly #meta: StreamMeta;
  #position = 0;
  #dataSize = 0;

  constructor(meta: StreamMeta) {
    this.#meta = meta;
  }

  /**
   * @param at - file offset of the header
   * @throws ProtocolError VB_SPARSE_FRAME, VB_SPARSE_ORDER, VB_SPARSE_COVER
   */
  accept(frame: FrameHeader, at: number): void {
    const { virtualSize, incremental } = this.#meta;
    const { kind, start, length } = frame;
    if (length === 0) throw new ProtocolError('VB_SPARSE_FRAME', `${kind} frame at ${start} is empty`, at);
    if (start > virtualSize || length > virtualSize - start) {
      const range = `${kind} frame at ${start} of ${length} bytes`;
      throw new ProtocolError('VB_SPARSE_FRAME', `${range} lies beyond the disk of ${virtualSize}`, at);
    }
    if (start < this.#position) {
      throw new ProtocolError(
        'VB_SPARSE_ORDER',
        `${kind} frame at ${start} follows one that ends at ${this.#position}`,
        at,
      );
    }
    if (!incremental && start > this.#position) this.#gap(start, at);
    this.#position = start + length;
    if (kind === 'data') this.#dataSize += length;
  }

  /**
   * @param at - file offset of STOP
   * @throws ProtocolError VB_SPARSE_COVER, VB_SPARSE_DATA_SIZE
   */
  stop(at: number): void {
    const { virtualSize, dataSize, incremental } = this.#meta;
    if (!incremental && this.#position !== virtualSize) this.#gap(virtualSize, at);
    if (this.#dataSize !== dataSize) {
      throw new ProtocolError(
        'VB_SPARSE_DATA_SIZE',
        `stream holds ${this.#dataSize} bytes of data, META says ${dataSize}`,
        at,
      );
    }
  }

  #gap(start: number, at: number): never {
    const message = `full stream says nothing about ${this.#position} to ${start}`;
    throw new ProtocolError('VB_SPARSE_COVER', message, at);
  }
}
