import type { WithSignal } from '@vbackup/core';
import { missingOperations, whenIdle } from './busy.js';
import { isApiError, messageOf } from './errors.js';
import type { LiveDisk } from './live-disk.js';
import { NothingSchema } from './records.js';
import type { XenSession } from './session.js';

/** Whether the host tracks the changes of a disk, and if not, which condition is missing. */
export type Tracking =
  | { readonly state: 'on' }
  | { readonly state: 'just-enabled' }
  | { readonly state: 'off'; readonly detail: string };

/** `SR.allowed_operations`; `VDI.allowed_operations` does not list them (xapi filters there). */
export const CBT_OPERATIONS = ['vdi_enable_cbt', 'vdi_list_changed_blocks', 'vdi_data_destroy'] as const;

/** What enable_cbt answers where it is impossible, in words. */
const OBSTACLES: Readonly<Record<string, string>> = {
  LICENCE_RESTRICTION: "the pool's licence does not include changed block tracking (CBT)",
  MESSAGE_METHOD_UNKNOWN: 'the host is older than XenServer 7.3 and has no changed block tracking',
  SR_OPERATION_NOT_SUPPORTED: 'the storage repository does not support changed block tracking',
  VDI_INCOMPATIBLE_TYPE: 'disks of this type cannot be tracked',
  VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION: 'the disk is reset at every boot (on_boot)',
  SR_BACKEND_FAILURE_457: 'the storage repository could not start changed block tracking',
};

/** Whether changes are tracked now; changes nothing. */
export function trackingOf({ record, sr }: LiveDisk): Tracking | null {
  if (record.cbt_enabled) return { state: 'on' };
  if (record.sm_config['type'] === 'raw') return { state: 'off', detail: 'the disk is raw, not VHD or QCOW2' };
  const missing = missingOperations(sr, CBT_OPERATIONS);
  if (missing.length > 0) {
    const detail = `storage repository ${sr.name_label} (${sr.type}) does not offer ${missing.join(', ')}`;
    return { state: 'off', detail };
  }
  return null;
}

/** Switches change tracking on, if it is off and can be. Changes before this moment stay unknown. */
export async function enableTracking(session: XenSession, disk: LiveDisk, options: WithSignal = {}): Promise<Tracking> {
  try {
    await whenIdle(() => session.call(NothingSchema, 'VDI.enable_cbt', [disk.reference], options), options);
    return { state: 'just-enabled' };
  } catch (error) {
    if (!isApiError(error, ...Object.keys(OBSTACLES))) throw error;
    return { state: 'off', detail: OBSTACLES[error.apiCode] ?? messageOf(error) };
  }
}
