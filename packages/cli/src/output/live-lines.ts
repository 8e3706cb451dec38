import type { TextStream } from '../world.js';

/** Disks shown at once; more would scroll a small terminal. */
const MAX_LINES = 8;
const REDRAW_MS = 100;

/** Lines at the bottom of a terminal that are drawn again in place; whatever else is written goes above them. */
export class LiveLines {
  readonly #terminal: TextStream;
  readonly #lines = new Map<string, string>();
  #drawn = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;

  constructor(terminal: TextStream) {
    this.#terminal = terminal;
  }

  /** Draws at most ten times a second. `time` is in milliseconds. */
  set(name: string, line: string, time: number): void {
    this.#lines.set(name, line);
    if (time - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = time;
    this.#terminal.write(this.#erased() + this.#drawing());
  }

  remove(name: string): void {
    if (this.#lines.delete(name)) this.#terminal.write(this.#erased() + this.#drawing());
  }

  /** Writes lines that stay. */
  above(text: string): void {
    this.#terminal.write(this.#erased() + text + this.#drawing());
  }

  clear(): void {
    this.#lines.clear();
    this.#terminal.write(this.#erased());
  }

  #erased(): string {
    const erased = '\x1b[1A\x1b[2K'.repeat(this.#drawn);
    this.#drawn = 0;
    return erased;
  }

  #drawing(): string {
    const shown = [...this.#lines.values()].slice(0, MAX_LINES);
    this.#drawn = shown.length;
    // One column is left free: a full last column makes some terminals wrap, and the line could not be erased.
    return shown.map((line) => `${line.slice(0, Math.max(1, this.#terminal.columns - 1))}\n`).join('');
  }
}
