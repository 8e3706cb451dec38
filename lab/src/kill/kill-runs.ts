import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { command, type Outcome } from '../command/command.js';
import { listedBackups } from '../command/listing.js';
import { startXapiHost, type XapiHost } from '../xapi/index.js';
import { randomNumbers } from './random.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const DISK_SIZE = 24 * MiB;
/** Every so many runs the repository is left behind and a new one begins with a killed full backup. */
const RUNS_PER_REPOSITORY = 10;

export interface KillOptions {
  readonly runs: number;
  readonly seed: number;
  readonly onRun?: ((line: string) => void) | undefined;
}

export interface KillReport {
  /** Runs that were killed before they ended by themselves. */
  readonly killed: number;
  /** Killed runs whose backup existed all the same: they died behind the commit point. */
  readonly committed: number;
}

/**
 * Kills backups with SIGKILL at random moments. After each: the next run succeeds by itself, every backup that exists
 * restores to what the disk held, the repository verifies, and nothing but the base is left on the host.
 * @throws Error with what the commands printed, where any of that is not so
 */
export async function killRuns(options: KillOptions): Promise<KillReport> {
  const random = randomNumbers(options.seed);
  const folder = await mkdtemp(join(tmpdir(), 'vbackup-kill-'));
  let report: KillReport = { killed: 0, committed: 0 };
  try {
    await using host = await startXapiHost({ password: 'secret' });
    for (let first = 0; first < options.runs; first += RUNS_PER_REPOSITORY) {
      const series = new Series(host, join(folder, `repository-${first}`), random);
      const last = Math.min(first + RUNS_PER_REPOSITORY, options.runs);
      for (let run = first; run < last; run++) {
        const { killed, committed, line } = await series.run();
        report = { killed: report.killed + (killed ? 1 : 0), committed: report.committed + (committed ? 1 : 0) };
        options.onRun?.(`run ${run + 1}: ${line}`);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return report;
}

/** When a run is killed. */
interface Moment {
  readonly name: string;
  readonly kill: AbortSignal;
}

/** One disk and one repository, with backups that are killed again and again. */
class Series {
  readonly #host: XapiHost;
  readonly #random: () => number;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #disk: string;
  readonly #image: string;
  /** What the disk held at each backup. */
  readonly #digests = new Map<string, string>();
  /** How long a run takes that nobody kills. */
  #durationMs = 1500;
  /** How many calls to the host such a run makes. */
  #calls = 40;

  constructor(host: XapiHost, repository: string, random: () => number) {
    this.#host = host;
    this.#random = random;
    this.#image = `${repository}.raw`;
    this.#disk = host.addDisk({ size: DISK_SIZE, label: 'kill test' });
    this.#environment = {
      VBACKUP_REPOSITORY: repository,
      VBACKUP_XEN_URL: host.url,
      VBACKUP_XEN_FINGERPRINT: `sha256:${host.fingerprint}`,
      VBACKUP_XEN_PASSWORD: 'secret',
    };
  }

  async run(): Promise<{ killed: boolean; committed: boolean; line: string }> {
    this.#guestWrites();
    const digest = await this.#host.digest(this.#disk);
    const moment = this.#random() < 0.5 ? this.#someTime() : this.#someCall();
    const victim = await this.#vbackup(['--hypervisor', 'xen', this.#disk], moment.kill);
    this.#host.onCall(undefined);
    const killed = victim.code === null;
    if (!killed && victim.code !== 0) throw failure('the run that was to be killed failed by itself', victim);

    const calls = this.#host.calls.length;
    const next = await this.#expectSuccess(['--hypervisor', 'xen', this.#disk]);
    this.#calls = this.#host.calls.length - calls;
    this.#durationMs = (this.#durationMs + next.elapsedMs) / 2;
    const backups = await listedBackups(this.#environment);
    const fresh = backups.map(({ id }) => id).filter((id) => !this.#digests.has(id));
    for (const id of fresh) this.#digests.set(id, digest);
    if (fresh.length < 1 || fresh.length > 2)
      throw failure(`expected one or two new backups, found ${fresh.length}`, next);
    for (const id of fresh) await this.#expectEqual(id);
    await this.#expectEqual([...this.#digests.keys()][Math.floor(this.#random() * this.#digests.size)] ?? '');
    await this.#expectSuccess(['verify']);
    const leftovers = leftOn(this.#host);
    if (leftovers.length > 0) throw failure(`left on the host: ${leftovers.join(', ')}`, next);
    const committed = killed && fresh.length === 2;
    const line = killed ? `killed ${moment.name}${committed ? ', behind its commit' : ''}` : 'not killed';
    return { killed, committed, line };
  }

  /** Any moment of a run, a little beyond its end included. */
  #someTime(): Moment {
    const afterMs = Math.floor(this.#random() * this.#durationMs * 1.1);
    return { name: `after ${afterMs} ms`, kill: AbortSignal.timeout(afterMs) };
  }

  /** The moment of one of the calls to the host: snapshots, and what is done behind the commit, take little time. */
  #someCall(): Moment {
    const count = 1 + Math.floor(this.#random() * this.#calls);
    const kill = new AbortController();
    let seen = 0;
    this.#host.onCall(() => {
      seen += 1;
      if (seen === count) kill.abort();
    });
    return { name: `at call ${count}`, kill: kill.signal };
  }

  #guestWrites(): void {
    for (let count = 0; count < 8; count++) {
      const offset = Math.floor(this.#random() * (DISK_SIZE - MiB));
      const length = 1 + Math.floor(this.#random() * MiB);
      if (this.#random() < 0.25) this.#host.guestZero(this.#disk, offset, length);
      else this.#host.guestWrite(this.#disk, offset, this.#bytes(length));
    }
  }

  #bytes(length: number): Buffer {
    return Buffer.alloc(length, createHash('sha512').update(String(this.#random())).digest());
  }

  async #expectEqual(id: string): Promise<void> {
    const restored = await this.#expectSuccess(['restore', id, this.#image]);
    const hash = createHash('sha256');
    await pipeline(createReadStream(this.#image), hash);
    await rm(this.#image);
    if (hash.digest('hex') !== this.#digests.get(id)) throw failure(`backup ${id} restores to other bytes`, restored);
  }

  async #expectSuccess(args: readonly string[]): Promise<Outcome> {
    const outcome = await this.#vbackup(args);
    if (outcome.code !== 0) throw failure(`vbackup ${args.join(' ')} ended with ${outcome.code}`, outcome);
    return outcome;
  }

  #vbackup(args: readonly string[], kill?: AbortSignal): Promise<Outcome> {
    return command(args, { environment: this.#environment, kill });
  }
}

/**
 * What should not be there any more. One base per disk waits for the next increment. A killed process cannot log out, nor
 * take away the record of a task that ends later: hosts forget idle sessions after a day and ended tasks after an hour.
 */
function leftOn(host: XapiHost): string[] {
  const { snapshots, machineSnapshots, exports, bases } = host.leftovers();
  const tasks = host.records('task').flatMap((task) => (task['status'] === 'pending' ? ['a pending task'] : []));
  const disks = host.records('VDI').filter((vdi) => vdi['is_a_snapshot'] === false);
  return [...snapshots, ...machineSnapshots, ...exports, ...tasks, ...bases.slice(disks.length)];
}

const failure = (message: string, { stdout, stderr }: Outcome): Error => new Error(`${message}\n${stdout}\n${stderr}`);
