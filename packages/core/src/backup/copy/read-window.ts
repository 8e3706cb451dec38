const MIB = 1024 * 1024;

/** Bytes that are asked for and have not arrived: more of them would leave the processor's cache on their way … */
const SHORTEST = 4 * MIB;
/** … but a server that is far away would wait for us. What it has sent by then must fit into the slots. */
const LONGEST = 24 * MIB;
/** A server that never answered faster is far away. */
const FAR_MS = 4;
/** Answers that take this much longer than the fastest waited for each other, and asking for more would not bring more. */
const QUEUED = 1.5;
/** Beyond this the window shrinks again. */
const CROWDED = 3;

/**
 * How much may be in flight to a device: bandwidth times round trip. It is doubled with every round trip (each answer makes room
 * for one request more) as long as answers take no longer for it; where the device is near it stays as it is.
 */
export class ReadWindow {
  #bytes = SHORTEST;
  #fastestMs = Number.POSITIVE_INFINITY;

  get bytes(): number {
    return this.#bytes;
  }

  /** Learns from one answer. @param answer - how many bytes it had, and how long it took */
  answered({ length, tookMs }: { readonly length: number; readonly tookMs: number }): void {
    this.#fastestMs = Math.min(this.#fastestMs, tookMs);
    if (this.#fastestMs < FAR_MS) this.#bytes = SHORTEST;
    else if (tookMs <= this.#fastestMs * QUEUED) this.#bytes = Math.min(LONGEST, this.#bytes + length);
    else if (tookMs > this.#fastestMs * CROWDED) this.#bytes = Math.max(SHORTEST, this.#bytes - length);
  }
}
