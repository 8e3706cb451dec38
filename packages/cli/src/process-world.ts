import { homedir } from 'node:os';
import type { StopSignal, TextStream, World } from './world.js';

const DEFAULT_COLUMNS = 80;
/** SIGHUP: the terminal is gone, or the session ends. */
const STOP_SIGNALS: readonly StopSignal[] = ['SIGHUP', 'SIGINT', 'SIGTERM'];

/** The world of a real process. What takes Node time to make is made when it is asked for. */
export function processWorld(): World {
  const stdout = new ProcessStream(() => process.stdout);
  return {
    env: process.env,
    cwd: process.cwd(),
    get home() {
      return homedir();
    },
    root: process.geteuid?.() === 0,
    stdout,
    stderr: new ProcessStream(() => process.stderr),
    stdin: () => process.stdin,
    stdoutBytes: () => stdout.bytes(),
    now: () => Date.now(),
    onStop,
    exit: (code) => process.exit(code),
    work: async () => (await import('./work.js')).coreWork(),
  };
}

function onStop(listener: (signal: StopSignal) => void): Disposable {
  for (const signal of STOP_SIGNALS) process.on(signal, listener);
  return {
    [Symbol.dispose]: () => {
      for (const signal of STOP_SIGNALS) process.off(signal, listener);
    },
  };
}

/** A standard stream whose reader may go away: `vbackup list | head -1` and a closed terminal are no errors, a full disk is. */
class ProcessStream implements TextStream {
  readonly #open: () => NodeJS.WriteStream;
  #opened: NodeJS.WriteStream | undefined;
  #fault: Error | undefined;
  #closed = false;

  constructor(open: () => NodeJS.WriteStream) {
    this.#open = open;
  }

  get #stream(): NodeJS.WriteStream {
    this.#opened ??= this.#open().on('error', (error: Error) => {
      this.#closed = true;
      const code = 'code' in error ? error.code : undefined;
      if (code !== 'EPIPE' && !(code === 'EIO' && this.isTTY)) this.#fault = error;
    });
    return this.#opened;
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

  /** The stream itself, with its faults looked after. */
  bytes(): NodeJS.WriteStream {
    return this.#stream;
  }

  async drain(): Promise<void> {
    if (this.#opened === undefined) return;
    if (!this.#closed) await new Promise<void>((resolve) => this.#stream.write('', () => resolve()));
    if (this.#fault !== undefined) throw this.#fault;
  }
}
