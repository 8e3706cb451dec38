import { homedir } from 'node:os';
import type { StopSignal, TextStream, World } from './world.js';

const DEFAULT_COLUMNS = 80;

/** The world of a real process. */
export const processWorld = (): World => ({
  env: process.env,
  cwd: process.cwd(),
  home: homedir(),
  root: process.geteuid?.() === 0,
  stdout: new ProcessStream(process.stdout),
  stderr: new ProcessStream(process.stderr),
  stdin: () => process.stdin,
  stdoutBytes: () => process.stdout,
  now: () => Date.now(),
  onStop,
  exit: (code) => process.exit(code),
  work: async () => (await import('./work.js')).coreWork(),
});

function onStop(listener: (signal: StopSignal) => void): Disposable {
  process.on('SIGINT', listener).on('SIGTERM', listener);
  return { [Symbol.dispose]: () => void process.off('SIGINT', listener).off('SIGTERM', listener) };
}

/** A standard stream whose reader may go away: `vbackup list | head -1` is no error, a full disk is. */
class ProcessStream implements TextStream {
  readonly #stream: NodeJS.WriteStream;
  #fault: Error | undefined;
  #closed = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.on('error', (error: Error) => {
      this.#closed = true;
      if (!('code' in error) || error.code !== 'EPIPE') this.#fault = error;
    });
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true;
  }

  get columns(): number {
    // Terminals without a size say 0.
    return this.#stream.columns || DEFAULT_COLUMNS;
  }

  get closed(): boolean {
    return this.#closed;
  }

  write(text: string | Uint8Array): void {
    if (!this.#closed) this.#stream.write(text);
  }

  async drain(): Promise<void> {
    if (!this.#closed) await new Promise<void>((resolve) => this.#stream.write('', () => resolve()));
    if (this.#fault !== undefined) throw this.#fault;
  }
}
