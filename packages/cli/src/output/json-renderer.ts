import type { TextStream } from '../world.js';
import type { OutputEvent, Renderer } from './events.js';

export interface JsonOptions {
  /** Only results and errors. */
  readonly quiet: boolean;
  readonly progress: boolean;
}

/** One JSON object per line on standard output, as docs/json-output.md promises. */
export class JsonRenderer implements Renderer {
  readonly #stdout: TextStream;
  readonly #options: JsonOptions;

  constructor(stdout: TextStream, options: JsonOptions) {
    this.#stdout = stdout;
    this.#options = options;
  }

  show(event: OutputEvent, time: Date): void {
    if (event.type === 'progress' && !this.#options.progress) return;
    if (this.#options.quiet && event.type !== 'summary' && event.type !== 'error') return;
    const { type, ...rest } = event;
    this.#stdout.write(`${JSON.stringify({ type, time: time.toISOString(), ...rest })}\n`);
  }

  close(): void {}
}
