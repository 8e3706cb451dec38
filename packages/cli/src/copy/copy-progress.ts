import type { Output } from '../output/output.js';

export interface CopyShape {
  /** Of the source, for people. */
  readonly name: string;
  readonly size: number;
  /** One, or two where the copy is compared afterwards. */
  readonly phases: number;
}

/** Tells of a copy in the events of a job. What is compared is planned as well: the size counts once for each phase. */
export class CopyProgress {
  readonly #output: Output;
  readonly #shape: CopyShape;

  constructor(output: Output, shape: CopyShape) {
    this.#output = output;
    this.#shape = shape;
    const { name: disk, size } = shape;
    output.work({ type: 'disk-start', disk, size, level: 'copy', planned: this.#planned });
  }

  get #planned(): number {
    return this.#shape.size * this.#shape.phases;
  }

  /** So many bytes of a phase, counted from 0, are done. */
  at(phase: number, done: number): void {
    const { name: disk, size } = this.#shape;
    this.#output.work({ type: 'progress', disk, done: phase * size + done, planned: this.#planned });
  }

  finish({ read, written, elapsedMs }: { read: number; written: number; elapsedMs: number }): void {
    const { name: disk } = this.#shape;
    this.#output.work({ type: 'disk-done', disk, read, data: written, stored: written, elapsedMs });
  }
}
