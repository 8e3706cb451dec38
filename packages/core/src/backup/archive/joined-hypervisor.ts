import { randomUUID } from 'node:crypto';
import { VBackupError } from '../../errors/index.js';
import type {
  Guest,
  Hypervisor,
  JsonObject,
  Leftover,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  WithSignal,
} from '../../hypervisor/index.js';

/** One disk that becomes a part of a whole. */
export interface JoinedSource {
  /** The caller closes it. */
  readonly hypervisor: Hypervisor;
  /** Names a guest of one disk. */
  readonly selector: string;
  /** What the disk is called in the whole. */
  readonly name: string;
}

export interface JoinedGuest {
  readonly guest: Guest;
  readonly sources: readonly JoinedSource[];
  readonly configuration: Snapshot['configuration'];
}

/** Guests of one disk, of any hypervisors, as one guest of several. Whoever asks for any guest gets this one. */
export class JoinedHypervisor implements Hypervisor {
  readonly #joined: JoinedGuest;

  constructor(joined: JoinedGuest) {
    this.#joined = joined;
  }

  find(): Promise<Guest> {
    return Promise.resolve(this.#joined.guest);
  }

  /** @throws VBackupError VB_INVALID_ARGUMENT for a source that has several disks, and what the hypervisors throw */
  async snapshot(_guest: Guest, request: SnapshotRequest, options?: WithSignal): Promise<Snapshot> {
    const parts: JoinedPart[] = [];
    try {
      for (const [at, source] of this.#joined.sources.entries()) {
        parts.push({ source, snapshot: await snapshotOf(source, noted(request, at), options) });
      }
      return new JoinedSnapshot(this.#joined, parts);
    } catch (error) {
      await disposeAll(parts);
      throw error;
    }
  }

  async recover({ entries, ...leftover }: Leftover, options?: WithSignal): Promise<void> {
    for (const [at, { hypervisor }] of this.#joined.sources.entries()) {
      const own = entries
        .filter(({ source }) => source === at)
        .flatMap(({ entry }) => (isObject(entry) ? [entry] : []));
      await hypervisor.recover({ ...leftover, entries: own }, options);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const DISK_NAME = /^[A-Za-z0-9_-]+$/;

interface JoinedPart {
  readonly source: JoinedSource;
  readonly snapshot: Snapshot;
}

const noted = (request: SnapshotRequest, source: number): SnapshotRequest => ({
  ...request,
  journal: { record: (entry) => request.journal.record({ source, entry }) },
});

const isObject = (value: JsonObject[string] | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function snapshotOf(
  { hypervisor, selector }: JoinedSource,
  request: SnapshotRequest,
  options?: WithSignal,
): Promise<Snapshot> {
  return hypervisor.snapshot(await hypervisor.find(selector, options), request, options);
}

class JoinedSnapshot implements Snapshot {
  readonly time: Date;
  readonly checkpoint = null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration: Snapshot['configuration'];
  readonly #parts: readonly JoinedPart[];

  constructor({ configuration }: JoinedGuest, parts: readonly JoinedPart[]) {
    this.time = parts[0]?.snapshot.time ?? new Date();
    this.configuration = configuration;
    this.#parts = parts;
    this.disks = parts.map(({ source, snapshot }, at) => {
      const [disk, ...others] = snapshot.disks;
      if (disk !== undefined && others.length === 0) {
        const { size, changes } = disk;
        return {
          // The own name where it is one that disks can have.
          name: DISK_NAME.test(source.name) ? source.name : `disk${at}`,
          id: randomUUID(),
          label: source.name,
          size,
          changes,
          open: (how) => disk.open(how),
        };
      }
      throw new VBackupError('VB_INVALID_ARGUMENT', `${source.selector} has ${snapshot.disks.length} disks, not one`);
    });
  }

  async confirm(options?: WithSignal): Promise<void> {
    for (const { snapshot } of this.#parts) await snapshot.confirm?.(options);
  }

  async commit(options?: WithSignal): Promise<void> {
    for (const { snapshot } of this.#parts) await snapshot.commit(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return disposeAll(this.#parts);
  }
}

/** One that cannot be released does not keep the others. */
async function disposeAll(parts: readonly JoinedPart[]): Promise<void> {
  const ended = await Promise.allSettled(parts.map(async ({ snapshot }) => snapshot[Symbol.asyncDispose]()));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
}
