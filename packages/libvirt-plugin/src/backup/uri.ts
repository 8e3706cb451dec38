import type { WithSignal } from '@vbackup/core';
import { UnsupportedError } from '@vbackup/core/errors';
import type { LibvirtConnection } from '../connection/index.js';

/** Transports of libvirt that lead to another machine, or may (uri.html, "Remote URI format"). */
const REMOTE_TRANSPORTS: readonly string[] = ['tls', 'tcp', 'ssh', 'libssh', 'libssh2', 'ext'];
const URI = /^[a-z0-9]+(?:\+([a-z0-9]+))?:\/\/([^/?#]*)/i;

/** Whether a URI leads to another machine, whose sockets and files are not ours. A host alone means TLS. */
export function isRemote(uri: string): boolean {
  const match = URI.exec(uri);
  if (match === null) return false;
  const [, transport = '', host = ''] = match;
  return REMOTE_TRANSPORTS.includes(transport.toLowerCase()) || host !== '';
}

/** The host that a URI names, without user, port and brackets; null where it names none. */
export function hostOf(uri: string): string | null {
  const authority = (URI.exec(uri)?.[2] ?? '').replace(/^.*@/, '');
  const host = /^\[([^\]]*)\]/.exec(authority)?.[1] ?? authority.replace(/:\d*$/, '');
  return host === '' ? null : host;
}

/**
 * The URI that leads to another machine; null for this one. The user may have given none, or an alias of libvirt.conf: what
 * libvirt made of it counts as well.
 */
export async function remoteUri(
  libvirt: LibvirtConnection,
  given: string,
  options: WithSignal,
): Promise<string | null> {
  if (isRemote(given)) return given;
  const { uri } = await libvirt.host(options);
  return isRemote(uri) ? uri : null;
}

/** @throws UnsupportedError VB_LIBVIRT_NOT_RUNNING if the images of a domain that is off lie on another machine */
export function requireLocal(remote: string | null, name: string): void {
  if (remote === null) return;
  throw new UnsupportedError(
    'VB_LIBVIRT_NOT_RUNNING',
    `the domain ${name} is off, and its images lie on another host`,
    {
      cure: 'start it, or run vbackup on its host',
    },
  );
}
