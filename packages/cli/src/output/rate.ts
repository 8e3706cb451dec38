/** The span that a rate is taken over. */
const WINDOW_MS = 10_000;

interface Sample {
  readonly time: number;
  readonly done: number;
}

/** How fast something goes: bytes per second over the last ten seconds. */
export class Rate {
  readonly #samples: Sample[] = [];

  /** `done` is the total so far, `time` milliseconds; both only grow. @returns bytes per second */
  update(done: number, time: number): number {
    this.#samples.push({ time, done });
    while (this.#samples.length > 2 && (this.#samples[1]?.time ?? time) < time - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || time <= first.time) return 0;
    return ((done - first.done) / (time - first.time)) * 1000;
  }
}
