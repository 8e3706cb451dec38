import { execFile } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Manifest, openRepository, runVerify } from '@vbackup/core';
import { command, type Outcome } from '../command/command.js';
import { randomNumbers } from '../kill/random.js';
import { type LabDomain, type LibvirtLab, until } from '../libvirt/index.js';
import { GuestWriter, type WrittenDisk } from './guest-writer.js';
import { type Disks, digestOf, History } from './history.js';
import { leftOf } from './leftovers.js';
import { afterEvents, afterTime, type Moment } from './moment.js';

const execute = promisify(execFile);
const MiB = 1024 * 1024;
const DISKS: readonly WrittenDisk[] = [
  { target: 'vda', size: 16 * MiB },
  { target: 'vdb', size: 8 * MiB },
  { target: 'vdc', size: 4 * MiB },
];
const LEVELS = ['auto', 'auto', 'auto', 'auto', 'diff', 'full', 'copy'] as const;
/** Who dies how often. `host`: everything at once, as when the power fails. */
const VICTIMS = ['vbackup', 'vbackup', 'vbackup', 'libvirtd', 'libvirtd', 'libvirtd', 'qemu', 'qemu', 'host'] as const;
const STOP_TIMEOUT_MS = 30_000;
/** How long the daemon stays away, and how long after an event somebody dies, at most. */
const DOWN_MS = 600;
const THEN_MS = 80;

type Victim = (typeof VICTIMS)[number];

interface Plan {
  readonly victim: Victim;
  readonly level: string;
  readonly moment: () => Moment;
  readonly downMs: number;
  /** Whether a guest that died is backed up before it is started again. */
  readonly whileOff: boolean;
}

export interface SeriesOptions {
  readonly lab: LibvirtLab;
  /** For the repository and what else the series needs; is made, and removed with it. */
  readonly folder: string;
  readonly random: () => number;
  /** For what the guest writes. */
  readonly seed: number;
}

export interface RunOutcome {
  readonly killed: boolean;
  readonly committed: boolean;
  /** libvirtd lost its job, and the next run had it repaired (VB_LIBVIRT_REPAIRED). */
  readonly repaired: boolean;
  /** The next run ended in QEMU what libvirt knew nothing of (VB_LIBVIRT_JOB_ENDED). */
  readonly ended: boolean;
  readonly line: string;
}

/** One guest and one repository, with backups in which something is killed again and again. */
export class KillSeries implements AsyncDisposable {
  readonly #options: SeriesOptions;
  readonly #domain: LabDomain;
  readonly #history = new History(new Map(DISKS.map(({ target, size }) => [target, Buffer.alloc(size)])));
  /** What the disks held at each backup, by its id. */
  readonly #digests = new Map<string, string>();
  readonly #environment: NodeJS.ProcessEnv;
  #writer: GuestWriter | null = null;
  /** How long a run takes that nobody disturbs. */
  #durationMs = 2500;
  #starts = 0;

  static async begin(options: SeriesOptions): Promise<KillSeries> {
    await mkdir(options.folder);
    const domain = await options.lab.define({
      name: 'kill',
      guest: 'seabios',
      withoutAgentChannel: true,
      monitor: true,
      disks: [
        { target: 'vda', size: 16 * MiB },
        { target: 'vdb', size: 8 * MiB, createOptions: 'cluster_size=4096' },
        { target: 'vdc', size: 4 * MiB, format: 'raw' },
      ],
    });
    const series = new KillSeries(options, domain);
    await series.#start();
    return series;
  }

  private constructor(options: SeriesOptions, domain: LabDomain) {
    this.#options = options;
    this.#domain = domain;
    this.#environment = {
      VBACKUP_CONFIG: '/dev/null',
      VBACKUP_REPOSITORY: this.#repository,
      VBACKUP_LIBVIRT_URI: options.lab.uri,
      VBACKUP_LIBVIRT_SCRATCH: options.lab.images,
      VBACKUP_LIBVIRT_SOCKET_FOLDER: options.lab.images,
      VBACKUP_LIBVIRT_REPAIR: options.lab.repairProgram,
    };
  }

  async run(): Promise<RunOutcome> {
    const plan = this.#plan();
    const { outcome, struck, name } = await this.#victim(plan);
    const crashed = struck && (plan.victim === 'qemu' || plan.victim === 'host') ? await this.#imagesOfDead() : null;
    const before = await this.#compareNew(outcome, crashed);
    const off = crashed !== null && (await this.#startAgain(crashed, plan));
    const state = await this.#domain.state();
    if (state !== 'running') throw failure(`the guest is ${state}`, outcome);
    this.#history.settle();
    const next = await this.#vbackup([]);
    if (next.code !== 0) throw failure(`after ${plan.victim} died ${name}: the next run ended with ${next.code}`, next);
    this.#durationMs = (this.#durationMs + next.elapsedMs) / 2;
    const after = await this.#compareNew(next);
    if (after !== 1) throw failure(`the next run made ${after} backups`, next);
    await this.#expectClean(next);
    this.#history.settle();
    const what = struck ? `${plan.victim} died ${name}` : 'nobody died';
    const committed = before > 0;
    const told = outcome.stderr + next.stderr;
    const repaired = told.includes('VB_LIBVIRT_REPAIRED');
    const ended = told.includes('VB_LIBVIRT_JOB_ENDED');
    const more = [
      ...(off ? ['backed up while it was off'] : []),
      ...(committed ? ['the backup stands'] : []),
      ...(repaired ? ['libvirt forgot its job'] : []),
      ...(ended ? ['QEMU was told to end it'] : []),
    ];
    return { killed: struck, committed, repaired, ended, line: [`${plan.level}: ${what}`, ...more].join(', ') };
  }

  /** Looks at every backup once more, and restores one. @returns how many there are */
  async end(): Promise<number> {
    const repository = await openRepository(this.#repository);
    const { checked, damage } = await runVerify({ repository });
    const found = [...damage, ...checked.flatMap((each) => each.damage)];
    if (found.length > 0) throw new Error(`the repository is damaged: ${JSON.stringify(found)}`);
    const manifests = await this.#manifests();
    for (const manifest of manifests) {
      if (digestOf(await this.#contentOf(manifest)) !== this.#digests.get(manifest.id)) {
        throw new Error(`backup ${manifest.id} does not hold any more what it held`);
      }
    }
    const newest = manifests.at(-1);
    if (newest !== undefined) await this.#restore(newest);
    return this.#digests.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.stop();
    const { lab, folder } = this.#options;
    await lab.virsh('destroy', this.#domain.name).catch(() => undefined);
    await lab.virsh('undefine', this.#domain.name, '--checkpoints-metadata').catch(() => undefined);
    for (const { path } of this.#domain.disks) await rm(path, { force: true });
    await rm(folder, { recursive: true, force: true });
  }

  get #repository(): string {
    return join(this.#options.folder, 'repository');
  }

  #plan(): Plan {
    const { random, folder, lab } = this.#options;
    const index = (count: number): number => Math.floor(random() * count);
    const [victim, level] = [VICTIMS[index(VICTIMS.length)] ?? 'vbackup', LEVELS[index(LEVELS.length)] ?? 'auto'];
    const [byTime, share, then, down] = [random() < 0.4, random(), random(), random()];
    const whileOff = random() < 0.5;
    const ms = Math.floor(share * this.#durationMs * 1.1);
    const [count, thenMs] = [1 + Math.floor(share * 60), Math.floor(then * THEN_MS)];
    const moment = (): Moment => (byTime ? afterTime(ms) : afterEvents([folder, lab.images], { count, thenMs }));
    return { victim, level, moment, downMs: Math.floor(down * DOWN_MS), whileOff };
  }

  /** The run in which somebody dies. */
  async #victim({ victim, level, moment: when, downMs }: Plan): Promise<{
    readonly outcome: Outcome;
    readonly struck: boolean;
    readonly name: string;
  }> {
    using moment = when();
    const [kill, over] = [new AbortController(), new AbortController()];
    const attack = moment.wait(over.signal).then(
      () => this.#strike(victim, kill, downMs).then(() => true),
      () => false,
    );
    // A daemon that does not come back would leave vbackup waiting, and nobody to hear of it.
    attack.catch(() => kill.abort());
    const outcome = await this.#vbackup(level === 'auto' ? [] : ['--level', level], kill.signal);
    over.abort();
    const struck = await attack;
    const { code, stderr } = outcome;
    const spoke = /\[VB_[A-Z_]+\]/.test(stderr) && !stderr.includes('VB_INTERNAL');
    const spared = !struck || victim === 'libvirtd' || victim === 'qemu';
    if (spared && code === null) throw failure('vbackup was killed by somebody else', outcome);
    if (spared && code !== 0 && !(struck && spoke)) throw failure(`${victim} died, and vbackup ended badly`, outcome);
    return { outcome, struck, name: moment.name };
  }

  async #strike(victim: Victim, vbackup: AbortController, downMs: number): Promise<void> {
    const { lab } = this.#options;
    if (victim === 'vbackup' || victim === 'host') vbackup.abort();
    if (victim === 'qemu' || victim === 'host') process.kill(await this.#domain.pid(), 'SIGKILL');
    if (victim !== 'libvirtd' && victim !== 'host') return;
    await lab.signalDaemon('SIGKILL');
    await delay(downMs);
    await lab.startDaemon();
  }

  /** What the guest did not flush may be lost, as with any host that crashes: the images tell what is left. */
  async #imagesOfDead(): Promise<Disks> {
    await this.#writer?.stop();
    await until('QEMU is gone', STOP_TIMEOUT_MS, async () => (await this.#domain.state()) === 'shut off');
    const images = this.#domain.disks.map(async ({ target }) => [target, await this.#image(target)] as const);
    return new Map(await Promise.all(images));
  }

  /** @returns whether a backup was made before */
  async #startAgain(images: Disks, { whileOff }: Plan): Promise<boolean> {
    this.#history.reset(images);
    if (whileOff) await this.#backUpWhileOff();
    await this.#start();
    return whileOff;
  }

  async #backUpWhileOff(): Promise<void> {
    const run = await this.#vbackup([]);
    if (run.code !== 0) throw failure(`the run while the guest was off ended with ${run.code}`, run);
    if ((await this.#compareNew(run)) !== 1) throw failure('the run while the guest was off made no backup', run);
  }

  async #start(): Promise<void> {
    await this.#domain.start();
    this.#starts += 1;
    // Its own numbers: how many writes there are depends on the machine, who dies when must not.
    const random = randomNumbers(this.#options.seed + this.#starts);
    this.#writer = await GuestWriter.start({ domain: this.#domain, disks: DISKS, history: this.#history, random });
  }

  async #image(target: string): Promise<Buffer> {
    const { path, format } = this.#domain.disk(target);
    const raw = join(this.#options.folder, `${target}.raw`);
    await execute('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw]);
    const bytes = await readFile(raw);
    await rm(raw);
    return bytes;
  }

  async #manifests(): Promise<readonly Manifest[]> {
    const repository = await openRepository(this.#repository).catch(() => null);
    return (await repository?.catalogue())?.backups ?? [];
  }

  /**
   * Every backup that was not there before holds what the disks held at one instant.
   * @param crashed - what QEMU left when it died: the backup may have been made after that
   * @returns how many there are
   */
  async #compareNew(run: Outcome, crashed: Disks | null = null): Promise<number> {
    const fresh = (await this.#manifests()).filter(({ id }) => !this.#digests.has(id));
    for (const manifest of fresh) {
      const disks = await this.#contentOf(manifest);
      const isCrashed = crashed !== null && digestOf(crashed) === digestOf(disks);
      if (!isCrashed && this.#history.find(disks) === null) {
        throw failure(`backup ${manifest.id} holds no instant: ${this.#history.nearest(disks)}`, run);
      }
      this.#digests.set(manifest.id, digestOf(disks));
    }
    return fresh.length;
  }

  async #contentOf(manifest: Manifest): Promise<Disks> {
    const repository = await openRepository(this.#repository);
    const disks = new Map<string, Buffer>();
    for (const { name, size } of manifest.disks) {
      await using image = await repository.openImage(manifest, name);
      const bytes = Buffer.alloc(size);
      await image.read(0, bytes);
      disks.set(name, bytes);
    }
    return disks;
  }

  async #restore({ id }: Manifest): Promise<void> {
    const disks = new Map<string, Buffer>();
    for (const { target } of DISKS) {
      const file = join(this.#options.folder, `${target}.restored`);
      const outcome = await this.#vbackup(['restore', id, file, '--disk', target], undefined, []);
      if (outcome.code !== 0) throw failure(`the restore ended with ${outcome.code}`, outcome);
      disks.set(target, await readFile(file));
      await rm(file);
    }
    if (digestOf(disks) !== this.#digests.get(id)) throw new Error(`backup ${id} is restored to other bytes`);
  }

  async #expectClean(run: Outcome): Promise<void> {
    const newest = (await this.#manifests()).findLast(({ level }) => level === 'full' || level === 'inc');
    const left = await leftOf({ lab: this.#options.lab, domain: this.#domain, newest });
    if (left.length > 0) throw failure(`left: ${left.join(', ')}`, run);
  }

  #vbackup(args: readonly string[], kill?: AbortSignal, first = ['--hypervisor', 'libvirt', 'kill']): Promise<Outcome> {
    return command([...first, ...args], { environment: this.#environment, kill });
  }
}

const failure = (message: string, { stdout, stderr }: Outcome): Error => new Error(`${message}\n${stdout}\n${stderr}`);
