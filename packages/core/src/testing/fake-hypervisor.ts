import { VBackupError } from '../errors/index.js';
import type {
  Changes,
  Checkpoint,
  ForgetfulRecord,
  Guest,
  Hypervisor,
  JsonObject,
  Leftover,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
} from '../hypervisor/index.js';
import { type FakeAllocation, type FakeDisk, FakeReader, MappedFakeReader } from './fake-disk.js';

/** The places at which a test can make something fail. */
export type FakeStep =
  | 'find'
  | 'recover'
  | 'snapshot-journal'
  | 'snapshot-made'
  | 'open'
  | 'read'
  | 'confirm'
  | 'commit-begin'
  | 'commit-half'
  | 'dispose';

export interface FakeHypervisorOptions {
  readonly guest?: Partial<Guest>;
  /** Called at each step; may throw, wait or kill. */
  readonly onStep?: (step: FakeStep) => void | Promise<void>;
  readonly allocation?: FakeAllocation;
  /** Whether it tells what changed (default), or leaves everything to be compared. */
  readonly tracking?: 'dirty' | 'none';
}

/**
 * A hypervisor in memory. Its guest's disks can be written to and changed between backups; a checkpoint is a name, and
 * `checkpoints` and `snapshots` are what would be left on a real host.
 */
export class FakeHypervisor implements Hypervisor {
  readonly disks: FakeDisk[];
  readonly guest: Guest;
  /** Checkpoints that exist on the host. */
  readonly checkpoints = new Set<string>();
  /** Snapshots that exist on the host. */
  readonly snapshots = new Set<string>();
  onStep: (step: FakeStep) => void | Promise<void>;
  allocation: FakeAllocation | undefined;
  tracking: 'dirty' | 'none';
  /** What it says of its records of changes; by default that they forget nothing. */
  forgetful: ForgetfulRecord | undefined;
  /** The host's clock. */
  now: () => Date = () => new Date();
  #openReaders = 0;

  constructor(disks: readonly FakeDisk[], options: FakeHypervisorOptions = {}) {
    this.disks = [...disks];
    this.guest = { id: 'fake-guest', name: 'fake', kind: 'machine', ...options.guest };
    this.onStep = options.onStep ?? (() => undefined);
    this.allocation = options.allocation;
    this.tracking = options.tracking ?? 'dirty';
  }

  /** Readers that are open: 0 whenever no backup runs. */
  get openReaders(): number {
    return this.#openReaders;
  }

  async find(selector: string): Promise<Guest> {
    await this.onStep('find');
    if (selector === this.guest.id || selector === this.guest.name) return this.guest;
    throw new VBackupError('VB_GUEST_NOT_FOUND', `no guest ${selector}`);
  }

  async snapshot(_guest: Guest, request: SnapshotRequest): Promise<Snapshot> {
    const name = `check-${request.backupId}`;
    await request.journal.record({ step: 'snapshot', name, keep: request.keepCheckpoint });
    await this.onStep('snapshot-journal');
    this.snapshots.add(name);
    if (request.keepCheckpoint) this.#track(name);
    await this.onStep('snapshot-made');
    return new FakeSnapshot(this, request, name);
  }

  async recover({ entries, committed }: Leftover): Promise<void> {
    await this.onStep('recover');
    for (const entry of entries) {
      const name = text(entry['name']);
      this.snapshots.delete(name);
      if (!committed) this.forget(name);
      else if (entry['keep'] === true) this.forgetAllBut(name);
    }
  }

  /** Opens frozen bytes. */
  read(content: Buffer): FakeReader {
    this.#openReaders += 1;
    const options = {
      onRead: () => this.onStep('read'),
      onClose: () => {
        this.#openReaders -= 1;
      },
    };
    return this.allocation === undefined
      ? new FakeReader(content, options)
      : new MappedFakeReader(content, this.allocation, options);
  }

  /** Removes a checkpoint from the host. */
  forget(checkpoint: string): void {
    this.checkpoints.delete(checkpoint);
    for (const disk of this.disks) disk.forget(checkpoint);
  }

  /** Moves the base: a host keeps one. */
  forgetAllBut(checkpoint: string): void {
    for (const other of this.checkpoints) if (other !== checkpoint) this.forget(other);
  }

  #track(checkpoint: string): void {
    this.checkpoints.add(checkpoint);
    for (const disk of this.disks) disk.track(checkpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class FakeSnapshot implements Snapshot {
  readonly time: Date;
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration = [{ name: 'vm.json', content: Buffer.from('{"memory":1024}\n') }];
  readonly #host: FakeHypervisor;
  readonly #request: SnapshotRequest;
  readonly #name: string;
  #state: 'open' | 'committing' | 'disposed' = 'open';

  constructor(host: FakeHypervisor, request: SnapshotRequest, name: string) {
    this.#host = host;
    this.#request = request;
    this.#name = name;
    this.time = host.now();
    this.checkpoint = request.keepCheckpoint ? { name } : null;
    this.disks = host.disks.map((disk) => frozen(host, disk, request.since));
  }

  async confirm(): Promise<void> {
    await this.#host.onStep('confirm');
  }

  async commit(): Promise<void> {
    this.#state = 'committing';
    await this.#host.onStep('commit-begin');
    this.#host.snapshots.delete(this.#name);
    await this.#host.onStep('commit-half');
    if (this.#request.keepCheckpoint) this.#host.forgetAllBut(this.#name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'disposed') return;
    const undo = this.#state === 'open';
    this.#state = 'disposed';
    await this.#host.onStep('dispose');
    if (!undo) return;
    this.#host.snapshots.delete(this.#name);
    this.#host.forget(this.#name);
  }
}

function frozen(host: FakeHypervisor, disk: FakeDisk, since: Checkpoint | null): SnapshotDisk {
  const content = disk.content();
  const base = baseOf(since);
  const { id, name, label, size } = disk;
  return {
    id,
    name,
    label,
    size,
    changes: changesOf(disk, base, host),
    open: async () => {
      await host.onStep('open');
      return host.read(content);
    },
  };
}

function changesOf(disk: FakeDisk, base: string | null, { tracking, forgetful }: FakeHypervisor): Changes {
  if (base === null) return { kind: 'all' };
  const whole = [{ offset: 0, length: disk.size }];
  if (tracking === 'none') return { kind: 'compare', extents: whole, method: 'digests' };
  const extents = disk.changedSince(base);
  if (extents === null) return { kind: 'all', reason: 'base-missing', detail: `no checkpoint ${base}` };
  return { kind: 'since', extents, method: 'fake', ...(forgetful === undefined ? {} : { forgetful }) };
}

const baseOf = (since: Checkpoint | null): string | null => (since === null ? null : text(since['name']));

const text = (value: JsonObject[string] | undefined): string => (typeof value === 'string' ? value : '');
