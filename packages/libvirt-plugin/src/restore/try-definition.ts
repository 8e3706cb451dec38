import { randomUUID } from 'node:crypto';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { isLibvirtError, type LibvirtConnection } from '../connection/index.js';

/**
 * Lets libvirt take a definition under a name of its own, and forget it again: a machine type, a device or an attribute that
 * this host does not know is found before the first byte is restored, and not after the last.
 * @param definitionOf - the definition with another name and uuid
 * @throws VBackupError VB_LIBVIRT_DEFINE, VB_LIBVIRT_READ_ONLY, VB_LIBVIRT_ACCESS_DENIED
 */
export async function tryDefinition(
  libvirt: LibvirtConnection,
  definitionOf: (identity: { readonly name: string; readonly uuid: string }) => string,
  { signal }: WithSignal,
): Promise<void> {
  const uuid = randomUUID();
  const xml = definitionOf({ name: `vbackup-trial-${uuid}`, uuid });
  try {
    await libvirt.defineDomain(xml, { signal });
  } catch (cause) {
    if (signal?.aborted === true || isLibvirtError(cause, 'VB_LIBVIRT_READ_ONLY', 'VB_LIBVIRT_ACCESS_DENIED'))
      throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VBackupError(
      'VB_LIBVIRT_DEFINE',
      `libvirt does not take the definition, and nothing is restored: ${why}`,
      {
        cause,
        cure: 'restore the disks without --define, and define a domain with them yourself; the old definition is domain.xml in the backup',
      },
    );
  }
  // Also when the user has lost patience. It has no file of variables yet.
  await libvirt.undefineDomain(uuid, { nvram: 'keep' });
}
