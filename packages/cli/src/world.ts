import type { Work } from './work.js';

/** Where text goes. */
export interface TextStream {
  write(text: string | Uint8Array): void;
  readonly isTTY: boolean;
  /** Width of the terminal in characters. */
  readonly columns: number;
  /** Nobody reads any more. */
  readonly closed: boolean;
  /** Resolves when everything written has left the process; rejects if it could not (a closed pipe is no error). */
  drain(): Promise<void>;
}

export type StopSignal = 'SIGHUP' | 'SIGINT' | 'SIGTERM';

/** Everything of the process that the program touches; tests bring their own. */
export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  /** The effective user is root. */
  readonly root: boolean;
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  /** The bytes of standard input; asked for at most once. */
  stdin(): AsyncIterable<Buffer>;
  /** Standard output as a place for bytes, where a command writes a disk or an archive there. Nothing else is written then. */
  stdoutBytes(): NodeJS.WritableStream;
  /** Milliseconds since 1970, UTC. */
  now(): number;
  onStop(listener: (signal: StopSignal) => void): Disposable;
  /** Leaves at once, without cleaning up: only for the second signal. */
  exit(code: number): void;
  /** The work itself, loaded on first use: `--version` and `--help` must not wait for it. */
  readonly work: () => Promise<Work>;
}
