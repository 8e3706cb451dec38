const NO_BYTES = Buffer.alloc(0);

/**
 * Bytes that arrived and were not read yet. Nothing is copied while a read lies within one chunk: then the result is a
 * view, valid as long as the chunk is.
 */
export class ByteQueue {
  readonly #chunks: Buffer[] = [];
  /** Chunks that were read to their end and are still in the list: taking each out by itself would move all others. */
  #done = 0;
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
    const first = this.#first;
    if (first !== undefined && this.#head > 0) this.#chunks[this.#done] = first.subarray(this.#head);
    this.#head = 0;
    if (this.#done === 0) this.#chunks.unshift(bytes);
    else {
      this.#done -= 1;
      this.#chunks[this.#done] = bytes;
    }
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
    const first = this.#first;
    if (first === undefined || length === 0) return Buffer.alloc(0);
    if (first.length - this.#head >= length) return this.#advance(first, length);
    return this.#gather(
      scratch !== undefined && scratch.length >= length ? scratch.subarray(0, length) : undefined,
      length,
    );
  }

  /** Takes up to `limit` bytes that lie together, without a copy; undefined when nothing is there. */
  takeSome(limit: number): Buffer | undefined {
    const first = this.#first;
    if (first === undefined || limit <= 0) return undefined;
    const length = Math.min(limit, first.length - this.#head);
    this.#consumed += length;
    this.#length -= length;
    return this.#advance(first, length);
  }

  /** The bytes that come next and lie together, not taken; undefined when nothing is there. */
  peekSome(): Buffer | undefined {
    return this.#first?.subarray(this.#head);
  }

  #gather(target: Buffer | undefined, length: number): Buffer {
    const result = target ?? Buffer.allocUnsafe(length);
    let filled = 0;
    for (let first = this.#first; first !== undefined && filled < length; first = this.#first) {
      const part = this.#advance(first, Math.min(length - filled, first.length - this.#head));
      filled += part.copy(result, filled);
    }
    return result;
  }

  #advance(first: Buffer, length: number): Buffer {
    const view = first.subarray(this.#head, this.#head + length);
    this.#head += length;
    if (this.#head === first.length) {
      this.#head = 0;
      // Its memory is free from here on, though its place is not.
      this.#chunks[this.#done] = NO_BYTES;
      this.#done += 1;
      if (2 * this.#done >= this.#chunks.length) this.#forget();
    }
    return view;
  }

  get #first(): Buffer | undefined {
    return this.#chunks[this.#done];
  }

  /** Moves no more chunks than were read, so that a byte is moved about once, however small the chunks are. */
  #forget(): void {
    this.#chunks.splice(0, this.#done);
    this.#done = 0;
  }
}
