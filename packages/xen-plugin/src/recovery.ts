import type { Leftover, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import { isApiError } from './errors.js';
import { forgetBlockMap } from './export-map.js';
import type { JournalEntry, MadeEntry } from './journal.js';
import { parseEntries } from './journal.js';
import { diskVbds } from './live-disk.js';
import { NothingSchema, RefSchema, RefsSchema, type VdiRecord, VdiSchema, VmSchema } from './records.js';
import { finishSnapshot, undoSnapshot } from './release.js';
import { pause, pauseBefore, type RetryPlan } from './retry.js';
import type { XenSession } from './session.js';
import { isOurs, TAG_RUN, tagSnapshot } from './tags.js';
import { callIfThere } from './task.js';
import { parseXapiDate } from './transport/values.js';

type Found = Pick<MadeEntry, 'machine' | 'disks'>;
type Intent<Step extends JournalEntry['step']> = Extract<JournalEntry, { readonly step: Step }>;

/** How far a snapshot's time may lie from its intent's: an inherited tag on a later snapshot of another's is not ours. */
const LONGEST_SNAPSHOT_MS = 15 * 60_000;
/** About two minutes. */
const SETTLE_PLAN: RetryPlan = { tries: 30, firstPauseMs: 100, longestPauseMs: 5_000 };
/** `current_operations`: what the host is doing with an object, by task. */
const OperationsSchema = v.record(v.string(), v.string());

/** Finishes or undoes what a run that died left on the pool. Idempotent. */
export async function recoverLeftover(
  session: XenSession,
  leftover: Leftover,
  options: WithSignal = {},
): Promise<void> {
  const entries = parseEntries(leftover.entries);
  const made = entries.findLast((entry) => entry.step === 'made');
  if (made !== undefined) {
    for (const { snapshot } of made.disks) await forgetBlockMap(session, snapshot, options);
    await (leftover.committed ? finishSnapshot(session, made, options) : undoSnapshot(session, made, options));
  }
  for (const entry of entries) {
    if (entry.step === 'snapshot-disk') {
      if (made === undefined) await undoDisk(session, entry, leftover.backupId, options);
      await untagLive(session, entry.disk, options);
    } else if (entry.step === 'snapshot-machine' && made === undefined) {
      await undoMachine(session, entry, leftover.backupId, options);
    }
  }
}

/** Marks a live disk, so that its next snapshot carries the mark from its first moment on. */
export async function tagLive(session: XenSession, disk: string, backupId: string, options: WithSignal): Promise<void> {
  await session.call(NothingSchema, 'VDI.remove_from_other_config', [disk, TAG_RUN], options);
  try {
    await session.call(NothingSchema, 'VDI.add_to_other_config', [disk, TAG_RUN, backupId], options);
  } catch (error) {
    // It was there already if the answer to a first try was lost.
    if (!isApiError(error, 'MAP_DUPLICATE_KEY')) throw error;
  }
}

export async function untagLive(session: XenSession, uuid: string, options: WithSignal): Promise<void> {
  const disk = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [uuid], options);
  if (disk === null) return;
  await callIfThere(session, NothingSchema, 'VDI.remove_from_other_config', [disk, TAG_RUN], options);
}

/** A snapshot that was begun may end after its client did: it carries its mark only if the live disk keeps it until then. */
async function untilSnapshotEnds(
  session: XenSession,
  object: { readonly kind: 'VDI' | 'VM'; readonly uuid: string },
  options: WithSignal,
): Promise<void> {
  const reference = await callIfThere(session, RefSchema, `${object.kind}.get_by_uuid`, [object.uuid], options);
  if (reference === null) return;
  for (let attempt = 1; attempt <= SETTLE_PLAN.tries; attempt += 1) {
    const method = `${object.kind}.get_current_operations`;
    const operations = await callIfThere(session, OperationsSchema, method, [reference], options);
    if (operations === null || !Object.values(operations).includes('snapshot')) return;
    await pause(pauseBefore(attempt, SETTLE_PLAN), options.signal);
  }
  throw new VBackupError('VB_XEN_CLEANUP', `a snapshot of ${object.uuid} that the last run began does not end`, {
    cure: 'see xe task-list for what the pool does, and run again',
  });
}

async function undoDisk(
  session: XenSession,
  intent: Intent<'snapshot-disk'>,
  backupId: string,
  options: WithSignal,
): Promise<void> {
  await untilSnapshotEnds(session, { kind: 'VDI', uuid: intent.disk }, options);
  await undoSnapshot(session, await findByTag(session, intent, backupId, options), options);
}

/** The snapshot of a disk that was made but not noted any more. */
async function findByTag(
  session: XenSession,
  intent: Intent<'snapshot-disk'>,
  backupId: string,
  options: WithSignal,
): Promise<Found> {
  const around = new Date(intent.time).getTime();
  const snapshots = await snapshotsOf(session, intent.disk, options);
  const ours = snapshots.filter((record) => {
    if (intent.existing.includes(record.uuid) || record.other_config[TAG_RUN] !== backupId) return false;
    if (isOurs(record)) return true;
    // The tag may be inherited. Ours was not plugged anywhere yet; a disk in another's snapshot of the machine is.
    const time = parseXapiDate(record.snapshot_time)?.getTime();
    return record.VBDs.length === 0 && time !== undefined && Math.abs(time - around) <= LONGEST_SNAPSHOT_MS;
  });
  return { machine: null, disks: ours.map(({ uuid }) => ({ disk: intent.disk, snapshot: uuid })) };
}

/** The snapshot of a machine has a name of its own from its first moment on; its disks are marked before it goes. */
async function undoMachine(
  session: XenSession,
  intent: Intent<'snapshot-machine'>,
  backupId: string,
  options: WithSignal,
): Promise<void> {
  await untilSnapshotEnds(session, { kind: 'VM', uuid: intent.machine }, options);
  const machine = await callIfThere(session, RefSchema, 'VM.get_by_uuid', [intent.machine], options);
  const owner = { backupId, repositoryId: '', guestId: intent.machine };
  for (const reference of await session.call(RefsSchema, 'VM.get_by_name_label', [intent.name], options)) {
    const record = await callIfThere(session, VmSchema, 'VM.get_record', [reference], options);
    if (record === null || !record.is_a_snapshot || (machine !== null && record.snapshot_of !== machine)) continue;
    const disks: string[] = [];
    for (const snapshot of await snapshotDisks(session, reference, options)) {
      await tagSnapshot(session, snapshot, owner, options.signal);
      disks.push(snapshot.record.uuid);
    }
    const found = { machine: record.uuid, disks: disks.map((snapshot) => ({ disk: '', snapshot })) };
    await undoSnapshot(session, found, options);
  }
  if (machine === null) return;
  for (const vbd of await diskVbds(session, machine, options)) {
    const disk = await session.call(VdiSchema, 'VDI.get_record', [vbd.VDI], options);
    const marked = (await snapshotsOf(session, disk.uuid, options)).filter(
      (record) => isOurs(record) && record.other_config[TAG_RUN] === backupId,
    );
    await undoSnapshot(
      session,
      {
        machine: null,
        disks: marked.map(({ uuid }) => ({ disk: disk.uuid, snapshot: uuid })),
      },
      options,
    );
  }
}

/** The disks of a machine's snapshot that were snapshotted with it; a CD's disk is the original. */
export async function snapshotDisks(
  session: XenSession,
  machineSnapshot: string,
  options: WithSignal,
): Promise<readonly { readonly reference: string; readonly record: VdiRecord }[]> {
  const disks: { reference: string; record: VdiRecord }[] = [];
  for (const vbd of await diskVbds(session, machineSnapshot, options)) {
    const record = await session.call(VdiSchema, 'VDI.get_record', [vbd.VDI], options);
    if (record.is_a_snapshot) disks.push({ reference: vbd.VDI, record });
  }
  return disks;
}

async function snapshotsOf(session: XenSession, uuid: string, options: WithSignal): Promise<readonly VdiRecord[]> {
  const disk = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [uuid], options);
  if (disk === null) return [];
  const records: VdiRecord[] = [];
  for (const reference of await session.call(RefsSchema, 'VDI.get_snapshots', [disk], options)) {
    const record = await callIfThere(session, VdiSchema, 'VDI.get_record', [reference], options);
    if (record?.is_a_snapshot === true && record.snapshot_of === disk) records.push(record);
  }
  return records;
}
