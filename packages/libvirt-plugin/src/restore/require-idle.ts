import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';

/**
 * A domain whose disks are written must be off, and not wait with its memory saved: it would go on with disks that are not
 * those it knows.
 * @throws VBackupError VB_LIBVIRT_RUNNING, VB_LIBVIRT_SAVED_STATE
 */
export async function requireIdle(
  libvirt: LibvirtConnection,
  { uuid, name, active, persistent }: DomainFacts,
  options: WithSignal = {},
): Promise<void> {
  if (active) {
    throw new VBackupError('VB_LIBVIRT_RUNNING', `the domain ${name} runs`, {
      cure: `stop it before: virsh shutdown '${name}'`,
    });
  }
  if (!persistent || !(await libvirt.hasManagedSave(uuid, options))) return;
  throw new VBackupError('VB_LIBVIRT_SAVED_STATE', `the memory of the domain ${name} is saved, to go on from there`, {
    cure: `start it and stop it, or throw the saved memory away: virsh managedsave-remove '${name}'`,
  });
}
