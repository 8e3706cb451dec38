import { Readable } from 'node:stream';
import type { StopSignal, TextStream, World } from '../world.js';
import { FakeWork } from './fake-work.js';

export class TestStream implements TextStream {
  text = '';
  isTTY = false;
  columns = 80;
  closed = false;

  write(text: string): void {
    this.text += text;
  }

  drain(): Promise<void> {
    return Promise.resolve();
  }

  /** The lines without the last, empty one. */
  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }
}

/** A world whose clock moves when told, and whose work is a fake. */
export class TestWorld implements World {
  readonly env: Record<string, string | undefined> = {};
  cwd = '/';
  home = '/home/someone';
  root = false;
  readonly stdout = new TestStream();
  readonly stderr = new TestStream();
  input: readonly Buffer[] = [];
  readonly exits: number[] = [];
  readonly fake: FakeWork = new FakeWork(this);
  readonly #listeners = new Set<(signal: StopSignal) => void>();
  time = Date.parse('2026-11-20T12:00:00Z');

  readonly work = (): Promise<FakeWork> => Promise.resolve(this.fake);

  stdin(): AsyncIterable<Buffer> {
    return Readable.from(this.input);
  }

  stdoutBytes(): NodeJS.WritableStream {
    throw new Error('this world takes text only');
  }

  now(): number {
    return this.time;
  }

  onStop(listener: (signal: StopSignal) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  stop(signal: StopSignal): void {
    for (const listener of this.#listeners) listener(signal);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  exit(code: number): void {
    this.exits.push(code);
  }
}
