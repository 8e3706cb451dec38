import type { Readable } from 'node:stream';

/** The end of what a process complained of, for the message when it crashes. */
export class StderrTail {
  static readonly MAXIMUM_LENGTH = 2048;
  #text = '';

  constructor(stderr: Readable | null) {
    stderr?.setEncoding('utf8');
    stderr?.on('data', (chunk: string) => {
      this.#text = (this.#text + chunk).slice(-StderrTail.MAXIMUM_LENGTH);
    });
  }

  /** In one line. */
  get text(): string {
    return this.#text.trim().replace(/\s*\n\s*/g, '; ');
  }
}
