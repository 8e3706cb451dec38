import { Readable, Writable } from 'node:stream';
import type { StopSignal, TextStream, World } from '../world.js';
import { FakeWork } from './fake-work.js';

export class TestStream implements TextStream {
  text = '';
  isTTY = false;
  columns = 80;
  closed = false;

  write(text: string | Uint8Array): void {
    this.text += typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
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
  readonly outputBytes: Buffer[] = [];
  readonly exits: number[] = [];
  readonly fake: FakeWork = new FakeWork(this);
  readonly #listeners = new Set<(signal: StopSignal) => void>();
  time = Date.parse('2026-11-20T12:00:00Z');

  readonly work = (): Promise<FakeWork> => Promise.resolve(this.fake);

  stdin(): AsyncIterable<Buffer> {
    return Readable.from(this.input);
  }

  stdoutBytes(): NodeJS.WritableStream {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.outputBytes.push(Buffer.from(chunk));
        done();
      },
    });
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
