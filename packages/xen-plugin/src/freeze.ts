import type { Guest, Journal, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import { whenIdle } from './busy.js';
import { isApiError, XenApiError } from './errors.js';
import type { MadeEntry } from './journal.js';
import type { LiveDisk, LiveDisks } from './live-disk.js';
import { RefSchema, RefsSchema, type VdiRecord, VdiSchema, VmSchema } from './records.js';
import { snapshotDisks, tagLive, untagLive } from './recovery.js';
import type { XenSession } from './session.js';
import { type Owner, tagSnapshot } from './tags.js';
import { callAsync, callIfThere } from './task.js';
import { parseXapiDate } from './transport/values.js';

export interface Frozen {
  /** Our clock, just before the host was asked. */
  readonly time: Date;
  readonly made: MadeEntry;
  /** The machine's snapshot. */
  readonly machine: { readonly reference: string; readonly live: string } | null;
  readonly disks: readonly FrozenPair[];
}

interface FrozenPair {
  readonly live: LiveDisk;
  readonly snapshot: { readonly reference: string; readonly record: VdiRecord };
}

export interface FreezeRequest {
  readonly guest: Guest;
  readonly disks: LiveDisks;
  readonly owner: Owner;
  readonly keep: boolean;
  readonly replaces: readonly string[];
  readonly journal: Journal;
}

/**
 * Snapshots the guest. An intent is noted before, what was made right after; whatever fails in between can be found by
 * the intent alone.
 */
export async function freeze(session: XenSession, request: FreezeRequest, options: WithSignal = {}): Promise<Frozen> {
  const time = new Date();
  if (request.guest.kind === 'machine') return freezeMachine(session, request, time, options);
  const [disk] = request.disks.disks;
  if (disk === undefined) throw new VBackupError('VB_XEN_NO_DISKS', `guest ${request.guest.id} has no disk`);
  return freezeDisk(session, request, disk, time, options);
}

async function freezeDisk(
  session: XenSession,
  request: FreezeRequest,
  live: LiveDisk,
  time: Date,
  options: WithSignal,
): Promise<Frozen> {
  const existing: string[] = [];
  for (const reference of await session.call(RefsSchema, 'VDI.get_snapshots', [live.reference], options)) {
    // Another repository may remove its own meanwhile.
    const uuid = await callIfThere(session, v.string(), 'VDI.get_uuid', [reference], options);
    if (uuid !== null) existing.push(uuid);
  }
  const hostTime = (await serverTime(session, options)) ?? time;
  const disk = live.record.uuid;
  await request.journal.record({ step: 'snapshot-disk', disk, existing, time: hostTime.toISOString() });
  await tagLive(session, live.reference, request.owner.backupId, options);
  const once = { ...options, idempotent: false };
  const reference = await whenIdle(() => callAsync(session, 'VDI.snapshot', [live.reference, {}], once), options);
  const record = await session.call(VdiSchema, 'VDI.get_record', [reference], options);
  const pair = { live, snapshot: { reference, record } };
  const made = await note(request, null, [pair]);
  await untagLive(session, disk, options);
  await tagSnapshot(session, pair.snapshot, request.owner, options.signal);
  return { time, made, machine: null, disks: [pair] };
}

async function freezeMachine(
  session: XenSession,
  request: FreezeRequest,
  time: Date,
  options: WithSignal,
): Promise<Frozen> {
  const { guest, owner } = request;
  const live = await session.call(RefSchema, 'VM.get_by_uuid', [guest.id], options);
  const name = `vbackup-${owner.backupId}`;
  await request.journal.record({ step: 'snapshot-machine', machine: guest.id, name });
  const reference = await snapshotMachine(session, live, name, request.disks.ignored, options);
  const record = await session.call(VmSchema, 'VM.get_record', [reference], options);
  const snapshots = await snapshotDisks(session, reference, options);
  const pairs = pairUp(request.disks.disks, snapshots);
  const made = await note(request, record.uuid, pairs, snapshots);
  for (const snapshot of snapshots) await tagSnapshot(session, snapshot, owner, options.signal);
  return { time, made, machine: { reference, live }, disks: pairs };
}

/** Only newer hosts can leave disks out. */
async function snapshotMachine(
  session: XenSession,
  live: string,
  name: string,
  ignored: readonly string[],
  options: WithSignal,
): Promise<string> {
  const call = (...more: readonly (readonly string[])[]): Promise<string> =>
    whenIdle(
      () => callAsync(session, 'VM.snapshot', [live, name, ...more], { ...options, idempotent: false }),
      options,
    );
  if (ignored.length === 0) {
    return call().catch((error: unknown) => {
      if (isApiError(error, 'MESSAGE_PARAMETER_COUNT_MISMATCH')) return call([]);
      throw error;
    });
  }
  return call(ignored).catch((error: unknown) => {
    if (isApiError(error, 'MESSAGE_PARAMETER_COUNT_MISMATCH')) return call();
    throw error;
  });
}

function pairUp(disks: readonly LiveDisk[], snapshots: readonly FrozenPair['snapshot'][]): readonly FrozenPair[] {
  return disks.map((live) => {
    const snapshot = snapshots.find(({ record }) => record.snapshot_of === live.reference);
    if (snapshot !== undefined) return { live, snapshot };
    throw new VBackupError('VB_XEN_SNAPSHOT', `the machine's snapshot does not hold disk ${live.record.uuid}`);
  });
}

async function note(
  request: FreezeRequest,
  machine: string | null,
  pairs: readonly FrozenPair[],
  snapshots: readonly FrozenPair['snapshot'][] = [],
): Promise<MadeEntry> {
  const paired = pairs.map(({ live, snapshot }) => ({ disk: live.record.uuid, snapshot: snapshot.record.uuid }));
  // Disks that joined the machine a moment ago were snapshotted as well, and must go with the others.
  const others = snapshots.filter(({ record }) => paired.every(({ snapshot }) => snapshot !== record.uuid));
  const made: MadeEntry = {
    step: 'made',
    machine,
    disks: [...paired, ...others.map(({ record }) => ({ disk: '', snapshot: record.uuid }))],
    replaces: [...request.replaces],
    keep: request.keep,
    owner: { repositoryId: request.owner.repositoryId, guestId: request.owner.guestId },
  };
  await request.journal.record({ ...made, disks: made.disks.map((disk) => ({ ...disk })), owner: { ...made.owner } });
  return made;
}

/** The host's clock, or null where it does not tell. */
async function serverTime(session: XenSession, options: WithSignal): Promise<Date | null> {
  try {
    const pools = await session.call(RefsSchema, 'pool.get_all', [], options);
    const host = await session.call(RefSchema, 'pool.get_master', [pools[0] ?? ''], options);
    return parseXapiDate(await session.call(v.string(), 'host.get_servertime', [host], options));
  } catch (error) {
    // A host that does not tell its time answers with an error of the API; others will come up again.
    if (error instanceof XenApiError) return null;
    throw error;
  }
}
