import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Absence, Contest } from './contest.js';

/** How large what is measured is made. */
export interface Scale {
  /** Bytes of a disk. */
  readonly size: number;
  /** Nothing is timed: sizes are small, and what comes out is compared. */
  readonly quick: boolean;
}

/**
 * Contests that share their data and their servers; whoever disposes it removes both. To add a row, yield one more contest
 * from `contests`; to add a suite, name its maker in `suites.ts`.
 */
export interface Suite extends AsyncDisposable {
  contests(): Iterable<Contest | Absence> | AsyncIterable<Contest | Absence>;
}

export type MakeSuite = (scale: Scale) => Promise<Suite>;

/**
 * One folder for all that this run makes: every `mkdtemp(tmpdir())` ends in it. It goes when this is disposed, and when the run is
 * told to end; servers and measured programs then die with this process (`setpriv --pdeathsig`, measure.py).
 */
export async function holdFolder(): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'vbackup-bench-'));
  process.env['TMPDIR'] = folder;
  const parent = process.ppid;
  const end = (code: number): never => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(code);
  };
  process.once('SIGINT', () => end(130)).once('SIGTERM', () => end(143));
  // npm and its script may be ended without a word to us.
  const watch = setInterval(() => void (process.ppid !== parent && end(143)), 500);
  watch.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(watch);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
