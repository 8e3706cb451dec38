import { VBackupError } from '@vbackup/core/errors';
import { exitCodeOfSignal } from './exit-codes.js';
import type { StopSignal, World } from './world.js';

/** How long cleaning up may take after a signal. What is left then is healed by the next run. */
const CLEANUP_LIMIT_MS = 30_000;

/** The first SIGHUP, SIGINT or SIGTERM aborts the work, which then cleans up; the second one leaves at once. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #world: World;
  readonly #onFirst: (message: string) => void;
  readonly #listener: Disposable;
  #received: StopSignal | undefined;
  #limit: NodeJS.Timeout | undefined;

  constructor(world: World, onFirst: (message: string) => void) {
    this.#world = world;
    this.#onFirst = onFirst;
    this.#listener = world.onStop((signal) => this.#stop(signal));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code of the signal that was received. */
  get exitCode(): number | undefined {
    return this.#received === undefined ? undefined : exitCodeOfSignal(this.#received);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#limit);
    this.#listener[Symbol.dispose]();
  }

  #stop(signal: StopSignal): void {
    const code = exitCodeOfSignal(signal);
    if (this.#received !== undefined) {
      this.#world.exit(code);
      return;
    }
    this.#received = signal;
    this.#onFirst(`${signal} received: cleaning up; a second one leaves at once, and the next run cleans up`);
    this.#limit = setTimeout(() => this.#world.exit(code), CLEANUP_LIMIT_MS);
    this.#limit.unref();
    this.#controller.abort(new VBackupError('VB_ABORTED', `interrupted by ${signal}`));
  }
}
