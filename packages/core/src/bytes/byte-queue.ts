/**
 * Bytes that arrived and were not read yet. Nothing is copied while a read lies within one chunk: then the result is a
 * view, valid as long as the chunk is.
 */
export class ByteQueue {
  readonly #chunks: Buffer[] = [];
  #head = 0;
  #length = 0;
  #consumed = 0;

  /** Bytes waiting. */
  get length(): number {
    return this.#length;
  }

  /** Bytes taken so far: the stream offset of the next byte. */
  get offset(): number {
    return this.#consumed;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** Puts bytes back in front, as if they had not been taken. They must be the last that were. */
  unshift(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const first = this.#chunks[0];
    if (first !== undefined && this.#head > 0) this.#chunks[0] = first.subarray(this.#head);
    this.#head = 0;
    this.#chunks.unshift(bytes);
    this.#length += bytes.length;
    this.#consumed -= bytes.length;
  }

  /**
   * Takes exactly `length` bytes, or nothing (undefined) while fewer are there. Bytes that do not lie together are copied
   * into `scratch` if it is given and long enough, else into memory of their own.
   */
  take(length: number, scratch?: Buffer): Buffer | undefined {
    if (length > this.#length) return undefined;
    this.#consumed += length;
    this.#length -= length;
    const first = this.#chunks[0];
    if (first === undefined || length === 0) return Buffer.alloc(0);
    if (first.length - this.#head >= length) return this.#advance(first, length);
    return this.#gather(
      scratch !== undefined && scratch.length >= length ? scratch.subarray(0, length) : undefined,
      length,
    );
  }

  /** Takes up to `limit` bytes that lie together, without a copy; undefined when nothing is there. */
  takeSome(limit: number): Buffer | undefined {
    const first = this.#chunks[0];
    if (first === undefined || limit <= 0) return undefined;
    const length = Math.min(limit, first.length - this.#head);
    this.#consumed += length;
    this.#length -= length;
    return this.#advance(first, length);
  }

  /** The bytes that come next and lie together, not taken; undefined when nothing is there. */
  peekSome(): Buffer | undefined {
    return this.#chunks[0]?.subarray(this.#head);
  }

  #gather(target: Buffer | undefined, length: number): Buffer {
    const result = target ?? Buffer.allocUnsafe(length);
    let filled = 0;
    for (let first = this.#chunks[0]; first !== undefined && filled < length; first = this.#chunks[0]) {
      const part = this.#advance(first, Math.min(length - filled, first.length - this.#head));
      filled += part.copy(result, filled);
    }
    return result;
  }

  #advance(first: Buffer, length: number): Buffer {
    const view = first.subarray(this.#head, this.#head + length);
    this.#head += length;
    if (this.#head === first.length) {
      this.#chunks.shift();
      this.#head = 0;
    }
    return view;
  }
}
