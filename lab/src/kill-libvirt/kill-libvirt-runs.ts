import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomNumbers } from '../kill/random.js';
import { startLibvirtLab } from '../libvirt/index.js';
import { KillSeries } from './kill-series.js';

/** Every so many runs a new repository and a new guest begin with a killed full backup. */
const RUNS_PER_SERIES = 10;

export interface KillLibvirtOptions {
  readonly runs: number;
  readonly seed: number;
  readonly onRun?: ((line: string) => void) | undefined;
}

export interface KillLibvirtReport {
  /** Runs in which something was killed before vbackup ended by itself. */
  readonly killed: number;
  /** Of these, those whose backup exists: they died behind the commit point, or lived on. */
  readonly committed: number;
  /** Runs after which libvirtd held the domain for a job that it had lost: the next run had that repaired. */
  readonly repaired: number;
  /** Runs after which QEMU went on with a job of which libvirt knew nothing: the next run ended it. */
  readonly ended: number;
  /** Backups whose content was compared with what the guest had written at their instant. */
  readonly compared: number;
}

/**
 * Kills vbackup, libvirtd or QEMU with SIGKILL at random moments of a backup, while the guest writes without a pause. After
 * each: the next run succeeds by itself, every backup that exists holds what the disks held at one instant of its run, the
 * guest runs or can be started, and nothing but one checkpoint is left.
 * @throws Error with what the commands printed, where any of that is not so
 */
export async function killLibvirtRuns(options: KillLibvirtOptions): Promise<KillLibvirtReport> {
  const random = randomNumbers(options.seed);
  const folder = await mkdtemp(join(tmpdir(), 'vb-kill-'));
  const report = { killed: 0, committed: 0, repaired: 0, ended: 0, compared: 0 };
  try {
    await using lab = await startLibvirtLab();
    for (let first = 0; first < options.runs; first += RUNS_PER_SERIES) {
      const place = join(folder, `series-${first}`);
      await using series = await KillSeries.begin({ lab, folder: place, random, seed: options.seed + first });
      const last = Math.min(first + RUNS_PER_SERIES, options.runs);
      for (let run = first; run < last; run += 1) {
        const outcome = await series.run();
        if (outcome.killed) report.killed += 1;
        if (outcome.killed && outcome.committed) report.committed += 1;
        if (outcome.repaired) report.repaired += 1;
        if (outcome.ended) report.ended += 1;
        options.onRun?.(`run ${run + 1}: ${outcome.line}`);
      }
      report.compared += await series.end();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return report;
}
