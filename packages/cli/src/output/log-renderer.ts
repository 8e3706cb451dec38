import { closeSync, openSync, writeSync } from 'node:fs';
import type { OutputEvent, Renderer } from './events.js';
import { formatBytes, printable } from './format.js';

const PROGRESS_MS = 60_000;

/** Everything with its time (UTC), appended to a file that only its owner may read. */
export class LogRenderer implements Renderer {
  readonly #file: number;
  readonly #progressAt = new Map<string, number>();

  /** @throws the operating system's error if the file cannot be opened */
  constructor(path: string) {
    this.#file = openSync(path, 'a', 0o600);
  }

  show(event: OutputEvent, time: Date): void {
    if (event.type === 'progress' && !this.#isDue(event.disk, event.finished !== undefined, time.getTime())) return;
    const lines = describe(event).map((line) => `${time.toISOString()} ${event.type.padEnd(8)} ${printable(line)}\n`);
    writeSync(this.#file, lines.join(''));
  }

  close(): void {
    closeSync(this.#file);
  }

  #isDue(disk: string, finished: boolean, time: number): boolean {
    const due = finished || time - (this.#progressAt.get(disk) ?? Number.NEGATIVE_INFINITY) >= PROGRESS_MS;
    if (due) this.#progressAt.set(disk, time);
    return due;
  }
}

function describe(event: OutputEvent): string[] {
  switch (event.type) {
    case 'progress': {
      const { disk, done, planned, rate, finished } = event;
      const end = finished === undefined ? '' : ` finished ${fields(finished)}`;
      return [`${disk} ${formatBytes(done)} of ${formatBytes(planned)} at ${formatBytes(Math.round(rate))}/s${end}`];
    }
    case 'warning':
      return [`${event.disk === null ? '' : `${event.disk}: `}${event.message} [${event.code}]`];
    case 'error': {
      const cure = event.cure === null ? [] : [`cure: ${event.cure}`];
      const causes = event.causes.map((cause) => `caused by: ${cause}`);
      return [`${event.message} [${event.code}]`, ...cure, ...causes, ...(event.stack?.split('\n') ?? [])];
    }
    case 'start':
    case 'summary': {
      const { type: _, ...rest } = event;
      return [fields(rest)];
    }
  }
}

const fields = (record: object): string =>
  Object.entries(record)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
