import { type FSWatcher, watch } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** When something is killed. */
export interface Moment extends Disposable {
  readonly name: string;
  /** Resolves when it has come; rejects when `signal` is raised before. */
  wait(signal: AbortSignal): Promise<void>;
}

/** So long after the run began. */
export function afterTime(ms: number): Moment {
  return {
    name: `after ${ms} ms`,
    wait: (signal) => delay(ms, undefined, { signal }),
    [Symbol.dispose]: () => undefined,
  };
}

/**
 * When so many things have happened in the folders since the run began: a note in the journal, a scratch file, the socket, a
 * manifest. What takes little time of a run (the job begins, the backup is committed) is hit as often as what takes much.
 */
export function afterEvents(folders: readonly string[], options: { count: number; thenMs: number }): Moment {
  const { count, thenMs } = options;
  const { promise, resolve } = Promise.withResolvers<void>();
  let seen = 0;
  const watchers: readonly FSWatcher[] = folders.map((folder) =>
    watch(folder, { recursive: true }, () => {
      seen += 1;
      if (seen === count) resolve();
    }),
  );
  return {
    name: `${thenMs} ms after event ${count}`,
    wait: async (signal) => {
      const stopped = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => stopped.reject(signal.reason), { once: true });
      signal.throwIfAborted();
      await Promise.race([promise, stopped.promise]);
      await delay(thenMs, undefined, { signal });
    },
    [Symbol.dispose]: () => {
      for (const watcher of watchers) watcher.close();
    },
  };
}
