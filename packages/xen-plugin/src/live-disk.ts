import type { Guest, Warning, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { missingOperations } from './busy.js';
import {
  NULL_REF,
  RefSchema,
  RefsSchema,
  type SrRecord,
  SrSchema,
  type VbdRecord,
  VbdSchema,
  type VdiRecord,
  VdiSchema,
} from './records.js';
import type { XenSession } from './session.js';

/** A disk of a guest as it lives on the pool, before anything is done to it. */
export interface LiveDisk {
  readonly reference: string;
  readonly record: VdiRecord;
  readonly sr: SrRecord;
  /** Names its files; stays the same as long as the disk stays in its place in the machine. */
  readonly name: string;
}

export interface LiveDisks {
  readonly disks: readonly LiveDisk[];
  /** Disks of the machine that cannot be snapshotted, by reference: the snapshot leaves them out. */
  readonly ignored: readonly string[];
  readonly warnings: readonly Warning[];
}

const LONE_DISK = 'disk';
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

/** The disks of a guest that a backup holds: no CDs, and nothing that is not managed by the toolstack. */
export async function liveDisksOf(session: XenSession, guest: Guest, options: WithSignal = {}): Promise<LiveDisks> {
  if (guest.kind === 'disk') {
    const reference = await session.call(RefSchema, 'VDI.get_by_uuid', [guest.id], options);
    const disk = await readDisk(session, reference, LONE_DISK, options);
    const obstacle = obstacleOf(disk);
    if (obstacle !== null) throw new VBackupError('VB_XEN_DISK_UNSUPPORTED', `disk ${guest.id} ${obstacle}`);
    return { disks: [disk], ignored: [], warnings: [] };
  }
  return machineDisks(session, guest, options);
}

async function machineDisks(session: XenSession, guest: Guest, options: WithSignal): Promise<LiveDisks> {
  const machine = await session.call(RefSchema, 'VM.get_by_uuid', [guest.id], options);
  const disks: LiveDisk[] = [];
  const ignored: string[] = [];
  const warnings: Warning[] = [];
  for (const vbd of await diskVbds(session, machine, options)) {
    const disk = await readDisk(session, vbd.VDI, diskName(vbd.userdevice), options);
    const obstacle = obstacleOf(disk);
    if (obstacle === null) disks.push(disk);
    else {
      ignored.push(disk.reference);
      warnings.push({ code: 'VB_XEN_DISK_SKIPPED', message: `disk ${disk.record.uuid} (${disk.name}) ${obstacle}` });
    }
  }
  if (disks.length === 0) {
    throw new VBackupError('VB_XEN_NO_DISKS', `machine ${guest.name} (${guest.id}) has no disk that can be backed up`);
  }
  return { disks, ignored, warnings };
}

/** The VBDs of a machine, or of its snapshot, that hold a disk: what is in a CD drive belongs to others. */
export async function diskVbds(
  session: XenSession,
  machine: string,
  options: WithSignal = {},
): Promise<readonly VbdRecord[]> {
  const vbds: VbdRecord[] = [];
  for (const reference of await session.call(RefsSchema, 'VM.get_VBDs', [machine], options)) {
    const vbd = await session.call(VbdSchema, 'VBD.get_record', [reference], options);
    if (vbd.type === 'Disk' && !vbd.empty && vbd.VDI !== NULL_REF) vbds.push(vbd);
  }
  return vbds.sort((left, right) => Number(left.userdevice) - Number(right.userdevice));
}

async function readDisk(session: XenSession, reference: string, name: string, options: WithSignal): Promise<LiveDisk> {
  const record = await session.call(VdiSchema, 'VDI.get_record', [reference], options);
  const sr = await session.call(SrSchema, 'SR.get_record', [record.SR], options);
  return { reference, record, sr, name };
}

/** Why no snapshot can be made of a disk, or null. */
function obstacleOf({ record, sr }: LiveDisk): string | null {
  if (!record.managed) return 'is not managed by the toolstack';
  if (record.missing) return `is missing on its storage repository ${sr.name_label}`;
  if (record.type !== 'user' && record.type !== 'system') return `is of type ${record.type}`;
  if (record.sharable) return 'is shared between machines';
  if (record.on_boot !== 'persist') return 'is reset at every boot (on_boot)';
  if (missingOperations(sr, ['vdi_snapshot']).length > 0) {
    return `lies on storage repository ${sr.name_label} (${sr.type}), which makes no snapshots`;
  }
  return null;
}

/** `xvda` for the first place; the place survives a shutdown, `VBD.device` does not. */
function diskName(userdevice: string): string {
  const letter = LETTERS[Number(userdevice)];
  return letter === undefined ? `disk${userdevice.replace(/[^A-Za-z0-9_-]/g, '_')}` : `xvd${letter}`;
}
