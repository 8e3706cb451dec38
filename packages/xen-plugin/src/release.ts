import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { whenIdle } from './busy.js';
import { isApiError, isGone } from './errors.js';
import type { MadeEntry } from './journal.js';
import { NothingSchema, RefSchema, RefsSchema, type VdiRecord, VdiSchema } from './records.js';
import { pause, pauseBefore, type RetryPlan } from './retry.js';
import type { XenSession } from './session.js';
import { belongsTo, isOurs } from './tags.js';
import { callAsync, callIfThere } from './task.js';

/** About two minutes. */
const UNPLUG_PLAN: RetryPlan = { tries: 20, firstPauseMs: 100, longestPauseMs: 10_000 };

/**
 * After the backup is durable: the new snapshots lose their data and become the base, or go altogether; then the bases
 * that they replace go. The order matters. What is already gone counts as done.
 */
export async function finishSnapshot(session: XenSession, made: MadeEntry, options: WithSignal = {}): Promise<void> {
  await destroyMachineSnapshot(session, made.machine, options);
  for (const { snapshot } of made.disks) {
    const found = await findSnapshot(session, snapshot, options);
    if (found === null) continue;
    if (made.keep && found.record.cbt_enabled) await destroyData(session, found, options);
    else await destroyDisk(session, found.reference, options);
  }
  if (made.keep) await destroyReplaced(session, made, options);
}

/** Without a backup: everything goes that was made for it. What the destroyed snapshots tracked moves to their child. */
export async function undoSnapshot(
  session: XenSession,
  made: Pick<MadeEntry, 'machine' | 'disks'>,
  options: WithSignal = {},
): Promise<void> {
  await destroyMachineSnapshot(session, made.machine, options);
  for (const { snapshot } of made.disks) {
    const found = await findSnapshot(session, snapshot, options);
    if (found !== null) await destroyDisk(session, found.reference, options);
  }
}

interface FoundSnapshot {
  readonly reference: string;
  readonly record: VdiRecord;
}

/** Destroys the machine's snapshot, and thereby the VBDs of its disks; the disks stay. */
async function destroyMachineSnapshot(session: XenSession, uuid: string | null, options: WithSignal): Promise<void> {
  if (uuid === null) return;
  const reference = await callIfThere(session, RefSchema, 'VM.get_by_uuid', [uuid], options);
  if (reference === null) return;
  const isSnapshot = await callIfThere(session, NothingSchema, 'VM.get_is_a_snapshot', [reference], options);
  if (isSnapshot !== true) {
    if (isSnapshot === null) return;
    throw new VBackupError('VB_XEN_NOT_A_SNAPSHOT', `machine ${uuid} is not a snapshot and is not destroyed`);
  }
  await untilDone(() => callIfThere(session, NothingSchema, 'VM.destroy', [reference], options), options);
}

/** @returns null if it is gone */
async function findSnapshot(session: XenSession, uuid: string, options: WithSignal): Promise<FoundSnapshot | null> {
  const reference = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [uuid], options);
  if (reference === null) return null;
  const record = await callIfThere(session, VdiSchema, 'VDI.get_record', [reference], options);
  if (record === null) return null;
  if (!record.is_a_snapshot) {
    throw new VBackupError('VB_XEN_NOT_A_SNAPSHOT', `disk ${uuid} is not a snapshot and is not destroyed`);
  }
  return { reference, record };
}

async function destroyData(
  session: XenSession,
  { reference, record }: FoundSnapshot,
  options: WithSignal,
): Promise<void> {
  if (record.type === 'cbt_metadata') return;
  await waitUntilUnplugged(session, reference, options);
  try {
    await untilDone(() => callAsync(session, 'VDI.data_destroy', [reference], options), options);
  } catch (error) {
    if (!isApiError(error, 'VDI_NO_CBT_METADATA')) throw error;
    await destroyDisk(session, reference, options);
  }
}

/** Destroys a disk or snapshot once nobody holds it any more. */
export async function destroyDisk(session: XenSession, reference: string, options: WithSignal): Promise<void> {
  await waitUntilUnplugged(session, reference, options);
  await untilDone(() => callAsync(session, 'VDI.destroy', [reference], options), options);
}

/** The bases that the journal names, and whatever else was made for this guest and repository and never cleaned up. */
async function destroyReplaced(session: XenSession, made: MadeEntry, options: WithSignal): Promise<void> {
  const current = made.disks.map(({ snapshot }) => snapshot);
  for (const uuid of made.replaces) {
    const found = current.includes(uuid) ? null : await findSnapshot(session, uuid, options);
    if (found !== null && isOurs(found.record)) await destroyDisk(session, found.reference, options);
  }
  for (const { disk } of made.disks) {
    const live = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [disk], options);
    if (live === null) continue;
    for (const reference of await session.call(RefsSchema, 'VDI.get_snapshots', [live], options)) {
      const record = await callIfThere(session, VdiSchema, 'VDI.get_record', [reference], options);
      if (record === null || current.includes(record.uuid) || !belongsTo(record, made.owner)) continue;
      await destroyDisk(session, reference, options);
    }
  }
}

/** The NBD server unplugs the disk from its own domain only after we have disconnected. */
async function waitUntilUnplugged(session: XenSession, reference: string, options: WithSignal): Promise<void> {
  for (let attempt = 1; attempt <= UNPLUG_PLAN.tries; attempt += 1) {
    const vbds = await callIfThere(session, RefsSchema, 'VDI.get_VBDs', [reference], options);
    if (vbds === null || vbds.length === 0) return;
    await pause(pauseBefore(attempt, UNPLUG_PLAN), options.signal);
  }
  throw new VBackupError('VB_XEN_STILL_PLUGGED', 'the snapshot of the disk is still plugged after two minutes', {
    cure: 'vbackup removes it in its next run; see xe vbd-list vdi-uuid=<snapshot> for who holds it',
  });
}

/** As {@link whenIdle}; done as well if the object is gone. */
async function untilDone(work: () => Promise<unknown>, options: WithSignal): Promise<void> {
  try {
    await whenIdle(work, options);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
