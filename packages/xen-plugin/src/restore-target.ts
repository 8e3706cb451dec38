import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { RefSchema, type SrRecord, SrSchema } from './records.js';
import { isUuid } from './selector.js';
import type { XenSession } from './session.js';
import { callIfThere } from './task.js';

/** Where a disk is restored to. */
export interface RestorePlace {
  readonly sr: string;
  /** The new disk's name; the backup's own where it is missing. */
  readonly name?: string | undefined;
}

const LARGEST_NAME = 255;

/**
 * `sr=<uuid>[,name=<label>]`; a name may hold commas, so it comes last.
 * @throws VBackupError VB_XEN_TARGET
 */
export function parseTarget(text: string): RestorePlace {
  const match = /^sr=([^,]*)(?:,name=(.+))?$/s.exec(text);
  const [, sr = '', name] = match ?? [];
  if (!isUuid(sr.toLowerCase()) || (name !== undefined && name.length > LARGEST_NAME)) {
    throw new VBackupError('VB_XEN_TARGET', `"${text}" is not of the form sr=<uuid>[,name=<label>]`, {
      cure: 'list the storage repositories with xe sr-list',
    });
  }
  return { sr: sr.toLowerCase(), name };
}

/** @throws VBackupError VB_XEN_SR_NOT_FOUND */
export async function findSr(
  session: XenSession,
  uuid: string,
  options: WithSignal,
): Promise<{ readonly reference: string; readonly record: SrRecord }> {
  const reference = await callIfThere(session, RefSchema, 'SR.get_by_uuid', [uuid], options);
  if (reference === null) throw new VBackupError('VB_XEN_SR_NOT_FOUND', `the pool has no storage repository ${uuid}`);
  const record = await session.call(SrSchema, 'SR.get_record', [reference], options);
  return { reference, record };
}

const LVM_TYPES: readonly string[] = ['lvm', 'lvmoiscsi', 'lvmohba'];

/**
 * Whether a new disk may hold what lay there before, so that zeros must be written: xapi, `must_write_zeroes_into_new_vdi`.
 * vbackup never asks for a raw disk on LVM.
 */
export function mustWriteZeros({ type, sm_config }: SrRecord): boolean {
  if (LVM_TYPES.includes(type)) return sm_config['use_vhd'] !== 'true';
  if (type === 'equal') return sm_config['allocation'] === 'thick';
  return type === 'cslg';
}
