/** The smallest buffer that is worth keeping. */
const SMALLEST_LENGTH = 64 * 1024;
const LARGEST_LENGTH = 4 * 1024 * 1024;
/** What one connection keeps for its next requests. */
const KEPT_BYTES = 16 * 1024 * 1024;

/** Buffers of one connection that are used again: allocating one per request is what makes a server slow. */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>();
  #kept = 0;

  /** `length` bytes, not cleared. */
  take(length: number): Buffer {
    if (length < SMALLEST_LENGTH || length > LARGEST_LENGTH) return Buffer.allocUnsafeSlow(length);
    const whole = 2 ** Math.ceil(Math.log2(length));
    const found = this.#free.get(whole)?.pop();
    if (found !== undefined) this.#kept -= whole;
    return (found ?? Buffer.allocUnsafeSlow(whole)).subarray(0, length);
  }

  /** Gives back what {@link take} gave, once nobody uses it. */
  give(bytes: Buffer): void {
    const whole = bytes.buffer.byteLength;
    if (whole < SMALLEST_LENGTH || whole > LARGEST_LENGTH || whole % SMALLEST_LENGTH !== 0) return;
    if (this.#kept + whole > KEPT_BYTES) return;
    const free = this.#free.get(whole);
    const buffer = Buffer.from(bytes.buffer);
    if (free === undefined) this.#free.set(whole, [buffer]);
    else free.push(buffer);
    this.#kept += whole;
  }
}
