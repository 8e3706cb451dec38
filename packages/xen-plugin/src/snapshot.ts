import type {
  Changes,
  Checkpoint,
  ConfigurationFile,
  Guest,
  OpenDiskOptions,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  WithSignal,
} from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { enableTracking, type Tracking, trackingOf } from './change-tracking.js';
import { changesSince } from './changes.js';
import { makeCheckpoint, parseCheckpoint, type XenCheckpoint } from './checkpoint.js';
import { diskConfiguration, machineConfiguration } from './configuration.js';
import type { XenContext } from './context.js';
import { messageOf } from './errors.js';
import { type Frozen, freeze } from './freeze.js';
import type { MadeEntry } from './journal.js';
import { type LiveDisk, liveDisksOf } from './live-disk.js';
import { requireNbd } from './nbd-access.js';
import { openSnapshotDisk } from './reader.js';
import { finishSnapshot, undoSnapshot } from './release.js';

/** Cleaning up has a time of its own, for the user's signal may have been raised; what is left waits for `recover`. */
const CLEANUP_TIMEOUT_MS = 20_000;

/** Freezes a guest's disks: checks first what can be checked, then makes the snapshot, then asks what changed. */
export async function takeSnapshot(
  context: XenContext,
  guest: Guest,
  request: SnapshotRequest,
  options: WithSignal = {},
): Promise<Snapshot> {
  const { session } = context;
  const since = request.since === null ? null : parseCheckpoint(request.since);
  const disks = await liveDisksOf(session, guest, options);
  for (const warning of disks.warnings) context.warn(warning);
  const allowInsecure = context.insecureNbd;
  for (const disk of disks.disks) await requireNbd(session, disk, { ...options, allowInsecure });
  const trackings = await trackAll(context, disks.disks, request, options);
  const owner = { backupId: request.backupId, repositoryId: request.repositoryId, guestId: guest.id };
  const keep = request.keepCheckpoint;
  const replaces = keep ? basesOf(since) : [];
  // What fails from here on is undone by `recover`, from the journal.
  const frozen = await freeze(session, { guest, disks, owner, keep, replaces, journal: request.journal }, options);
  return XenSnapshot.of(context, { frozen, trackings, since, keep }, options);
}

function basesOf(since: XenCheckpoint | null): readonly string[] {
  return since?.disks.flatMap(({ baseSnapshot }) => (baseSnapshot === null ? [] : [baseSnapshot])) ?? [];
}

/** Tracks every disk whose next increment shall stand on this snapshot. */
async function trackAll(
  context: XenContext,
  disks: readonly LiveDisk[],
  request: SnapshotRequest,
  options: WithSignal,
): Promise<readonly Tracking[]> {
  const trackings: Tracking[] = [];
  for (const disk of disks) {
    let tracking = trackingOf(disk);
    if (tracking === null && !request.keepCheckpoint) tracking = { state: 'off', detail: 'changes are not tracked' };
    if (tracking === null) {
      await request.journal.record({ step: 'enable-cbt', disk: disk.record.uuid });
      tracking = await enableTracking(context.session, disk, options);
    }
    if (tracking.state === 'off' && request.keepCheckpoint) {
      const message = `disk ${disk.record.uuid} can only be backed up in full: ${tracking.detail}`;
      context.warn({ code: 'VB_XEN_CBT_UNAVAILABLE', message });
    }
    trackings.push(tracking);
  }
  return trackings;
}

interface SnapshotParts {
  readonly frozen: Frozen;
  readonly trackings: readonly Tracking[];
  readonly since: XenCheckpoint | null;
  readonly keep: boolean;
}

class XenSnapshot implements Snapshot {
  readonly time: Date;
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration: readonly ConfigurationFile[];
  readonly #context: XenContext;
  readonly #made: MadeEntry;
  #open = true;

  static async of(context: XenContext, parts: SnapshotParts, options: WithSignal): Promise<XenSnapshot> {
    const disks: SnapshotDisk[] = [];
    for (const [index, { live, snapshot }] of parts.frozen.disks.entries()) {
      const tracking = parts.trackings[index] ?? { state: 'off', detail: 'unknown' };
      const place = { reference: live.reference, uuid: live.record.uuid, sr: live.sr.uuid };
      const changes = await changesSince(context, { live: place, snapshot, tracking }, parts.since, options);
      disks.push(snapshotDisk(context, live, snapshot, changes));
    }
    const configuration = await configurationOf(context, parts.frozen, options);
    return new XenSnapshot(context, parts, disks, configuration);
  }

  private constructor(
    context: XenContext,
    parts: SnapshotParts,
    disks: readonly SnapshotDisk[],
    configuration: readonly ConfigurationFile[],
  ) {
    this.#context = context;
    this.#made = parts.frozen.made;
    this.time = parts.frozen.time;
    this.disks = disks;
    this.configuration = configuration;
    this.checkpoint = parts.keep ? checkpointOf(parts.frozen) : null;
  }

  async commit(options: WithSignal = {}): Promise<void> {
    // From here on the snapshot must not be undone: the backup stands on it.
    this.#open = false;
    await finishSnapshot(this.#context.session, this.#made, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    try {
      await undoSnapshot(this.#context.session, this.#made, { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) });
    } catch (error) {
      warnIncomplete(this.#context, error);
      throw new VBackupError('VB_XEN_CLEANUP', `the snapshot is still on the pool: ${messageOf(error)}`, {
        cause: error,
        cure: 'vbackup removes it in its next run of this guest',
      });
    }
  }
}

function checkpointOf(frozen: Frozen): Checkpoint | null {
  return makeCheckpoint(
    frozen.disks.map(({ live, snapshot: { record } }) => ({
      vdi: live.record.uuid,
      baseSnapshot: record.cbt_enabled ? record.uuid : null,
      size: record.virtual_size,
      sr: live.sr.uuid,
    })),
  );
}

function snapshotDisk(
  context: XenContext,
  live: LiveDisk,
  { reference, record }: Frozen['disks'][number]['snapshot'],
  changes: Changes,
): SnapshotDisk {
  const changed = changes.kind === 'all' ? null : changes.extents;
  return {
    name: live.name,
    id: live.record.uuid,
    label: live.record.name_label,
    size: record.virtual_size,
    changes,
    open: (options: OpenDiskOptions) => openSnapshotDisk(context, { reference, record, changed }, options),
  };
}

function configurationOf(
  { session }: XenContext,
  frozen: Frozen,
  options: WithSignal,
): Promise<readonly ConfigurationFile[]> {
  const disks = frozen.disks.map(({ live }) => live.reference);
  if (frozen.machine === null) return diskConfiguration(session, disks[0] ?? '', options);
  const { reference, live } = frozen.machine;
  return machineConfiguration(session, { machine: live, snapshot: reference, disks }, options);
}

function warnIncomplete(context: XenContext, error: unknown): void {
  const message = `not everything could be removed from the pool, the next run does it: ${messageOf(error)}`;
  context.warn({ code: 'VB_XEN_CLEANUP', message });
}
