import type { Changes, FullReason, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { Tracking } from './change-tracking.js';
import type { CheckpointDisk, XenCheckpoint } from './checkpoint.js';
import { messageOf, XenApiError } from './errors.js';
import { RefSchema, type VdiRecord, VdiSchema } from './records.js';
import type { XenSession } from './session.js';
import { callIfThere } from './task.js';
import type { CbtPoint, XenChangeTracker } from './tracker.js';

/** A frozen disk, about which is asked what changed. */
export interface FrozenDisk {
  /** The live disk. */
  readonly live: { readonly reference: string; readonly uuid: string; readonly sr: string };
  readonly snapshot: { readonly reference: string; readonly record: VdiRecord };
  readonly tracking: Tracking;
}

/**
 * What changed since the checkpoint, or why everything must be read. An answer of the host that leaves a doubt, even a
 * bitmap of the wrong length, makes it everything.
 */
export async function changesSince(
  { session, tracker }: { readonly session: XenSession; readonly tracker: XenChangeTracker },
  disk: FrozenDisk,
  since: XenCheckpoint | null,
  options: WithSignal = {},
): Promise<Changes> {
  if (since === null) return { kind: 'all' };
  const entry = since.disks.find(({ vdi }) => vdi === disk.live.uuid);
  if (entry === undefined) return all('disk-new', 'the last backup did not hold this disk');
  const base = await usableBase(session, disk, entry, options);
  if ('kind' in base) return base;
  try {
    const point = { reference: disk.snapshot.reference, uuid: disk.snapshot.record.uuid };
    const size = disk.snapshot.record.virtual_size;
    return { kind: 'since', extents: await tracker.changes({ base, point, size }, options), method: 'cbt' };
  } catch (error) {
    const lost = lostBecause(error);
    if (lost === null) throw error;
    return lost;
  }
}

async function usableBase(
  session: XenSession,
  disk: FrozenDisk,
  entry: CheckpointDisk,
  options: WithSignal,
): Promise<CbtPoint | Changes> {
  const { tracking, snapshot, live } = disk;
  if (tracking.state === 'off') return all('no-change-tracking', tracking.detail);
  if (tracking.state === 'just-enabled') {
    return all('tracking-just-enabled', 'changes before this backup were not tracked');
  }
  if (entry.baseSnapshot === null) return all('base-missing', 'the last backup could not keep a base');
  if (!snapshot.record.cbt_enabled) return all('tracking-lost', 'the host stopped tracking changes at this snapshot');
  if (entry.sr !== live.sr) return all('disk-replaced', 'the disk lies on another storage repository now');
  if (snapshot.record.virtual_size < entry.size) {
    return all('disk-shrunk', `the disk had ${entry.size} bytes and has ${snapshot.record.virtual_size}`);
  }
  const reference = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [entry.baseSnapshot], options);
  const base =
    reference === null ? null : await callIfThere(session, VdiSchema, 'VDI.get_record', [reference], options);
  if (reference === null || base === null) return all('base-missing', `snapshot ${entry.baseSnapshot} is gone`);
  if (base.snapshot_of !== live.reference) {
    return all('base-foreign', `snapshot ${entry.baseSnapshot} is not of this disk any more`);
  }
  if (!base.cbt_enabled) return all('tracking-lost', `snapshot ${entry.baseSnapshot} has lost its list of changes`);
  return { reference, uuid: entry.baseSnapshot };
}

/** Null for an error that has nothing to do with the tracking itself. */
function lostBecause(error: unknown): Changes | null {
  if (error instanceof XenApiError) {
    const { apiCode } = error;
    if (apiCode === 'MESSAGE_METHOD_UNKNOWN') return all('no-change-tracking', messageOf(error));
    const broken = apiCode.startsWith('SR_BACKEND_FAILURE_') || LOST_CODES.includes(apiCode);
    return broken ? all('tracking-lost', messageOf(error)) : null;
  }
  return error instanceof VBackupError && error.code === 'VB_XEN_BITMAP'
    ? all('tracking-lost', messageOf(error))
    : null;
}

const LOST_CODES: readonly string[] = [
  'VDI_NO_CBT_METADATA',
  'VDI_INCOMPATIBLE_TYPE',
  'SR_OPERATION_NOT_SUPPORTED',
  'VDI_CONTENT_ID_MISSING',
];

const all = (reason: FullReason, detail: string): Changes => ({ kind: 'all', reason, detail });
