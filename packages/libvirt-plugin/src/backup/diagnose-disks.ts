import type { Diagnosis, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { LibvirtConnection } from '../connection/index.js';
import type { LibvirtContext } from './context.js';
import { remoteAccess } from './job-access.js';
import { remoteUri } from './uri.js';

/** How the disks of guests can be read from here. Changes nothing, and connects to no disk. */
export async function diagnoseDisks(
  context: LibvirtContext,
  libvirt: LibvirtConnection,
  options: WithSignal,
): Promise<Diagnosis> {
  try {
    const remote = await remoteUri(libvirt, context.options.uri, options);
    return remote === null ? await local(context, options) : await far(context, remote);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { name: 'disks', state: 'bad', detail, cure: error instanceof VBackupError ? error.cure : undefined };
  }
}

/** Guests that run need none of QEMU's programs here. */
async function local({ images }: LibvirtContext, options: WithSignal): Promise<Diagnosis> {
  try {
    const detail = `guests that are off are read by ${await images.versions(options)}`;
    return { name: 'disks', state: 'good', detail };
  } catch (error) {
    if (!(error instanceof VBackupError)) throw error;
    const detail = `guests that are off cannot be read: ${error.message}`;
    return { name: 'disks', state: 'warning', detail, cure: error.cure };
  }
}

async function far({ options }: LibvirtContext, remote: string): Promise<Diagnosis> {
  const { address, tls } = await remoteAccess(options.nbd, remote);
  const where = address.kind === 'tcp' ? `port ${address.port} of ${address.host}` : address.path;
  if (tls !== undefined) return { name: 'disks', state: 'good', detail: `they are read from ${where}, over TLS` };
  const cure = 'use certificates: --libvirt-nbd-tls-certificates FOLDER';
  return { name: 'disks', state: 'warning', detail: `they are read from ${where}, in clear text`, cure };
}
