import { join } from 'node:path';
import type { NbdAddress, NbdTls } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import { loadNbdUri } from '@vbackup/core/nbd/device';
import type { JobServer } from '../job/index.js';
import type { LibvirtOptions, RemoteNbdOptions } from '../options.js';
import type { GuestPlace } from './guest-id.js';
import { socketName } from './job-files.js';
import { hostOf } from './uri.js';

/** Where QEMU offers the disks of a job, and how they are reached from here. */
export interface JobAccess {
  readonly server: JobServer;
  readonly address: NbdAddress;
  readonly tls: NbdTls | undefined;
}

export interface AccessQuestion {
  /** Of the checkpoint. */
  readonly name: string;
  readonly place: GuestPlace;
  /** The URI of another machine; null for this one. */
  readonly remote: string | null;
}

/**
 * A unix socket on this machine; on another one TCP, encrypted, with both sides proving who they are.
 * @throws VBackupError VB_LIBVIRT_REMOTE if the other machine's disks must not or cannot be read
 */
export async function jobAccess(options: LibvirtOptions, { name, place, remote }: AccessQuestion): Promise<JobAccess> {
  if (remote === null) {
    const socket = join(options.socketFolder, socketName(name, place));
    return { server: { kind: 'unix', socket }, address: { kind: 'unix', path: socket }, tls: undefined };
  }
  return remoteAccess(options.nbd, remote);
}

/** As {@link jobAccess}, of another machine. */
export async function remoteAccess(nbd: RemoteNbdOptions, remote: string): Promise<JobAccess> {
  const { port, listen } = nbd;
  const host = requireWay(nbd, remote);
  const tls = await loadCertificates(nbd);
  return {
    server: { kind: 'tcp', host: listen ?? host, port, tls: tls !== undefined },
    address: { kind: 'tcp', host, port },
    tls,
  };
}

/**
 * Makes sure that the options say how the disks of another machine are read.
 * @returns the host
 * @throws VBackupError VB_LIBVIRT_REMOTE
 */
export function requireWay({ certificates, insecure, host }: RemoteNbdOptions, remote: string): string {
  if (certificates === null && !insecure) {
    throw new UnsupportedError('VB_LIBVIRT_REMOTE', `no certificates to read disks of another host with: ${remote}`, {
      cure: 'name a folder with ca-cert.pem, client-cert.pem and client-key.pem: --libvirt-nbd-tls-certificates FOLDER',
    });
  }
  const found = host ?? hostOf(remote);
  if (found !== null) return found;
  throw new VBackupError('VB_LIBVIRT_REMOTE', `the URI names no host to read disks from: ${remote}`, {
    cure: 'name it with --libvirt-nbd-host',
  });
}

async function loadCertificates({ certificates }: RemoteNbdOptions): Promise<NbdTls | undefined> {
  if (certificates === null) return undefined;
  try {
    // The names of the files are those of NBD's URIs and of QEMU.
    const { tls } = await loadNbdUri(`nbds://host/?tls-certificates=${encodeURIComponent(certificates)}`);
    // The name that the certificate must have is the host that is connected to.
    return tls?.kind === 'x509' ? { ...tls, hostname: undefined } : tls;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VBackupError('VB_LIBVIRT_REMOTE', `the certificates for another host's disks are of no use: ${why}`, {
      cause,
    });
  }
}
