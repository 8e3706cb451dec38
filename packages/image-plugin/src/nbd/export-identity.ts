import { resolve } from 'node:path';
import type { Guest, NbdAddress, NbdUri } from '@vbackup/core';
import { NBD_PORT } from '@vbackup/core/nbd/device';
import { diskName, guestId } from '../names.js';

/** How an export is called in the repository. */
export interface ExportIdentity extends Guest {
  /** For people. */
  readonly label: string;
  /** Names the disk's files. */
  readonly diskName: string;
}

/**
 * The identity of an export: where it is and what it is called there, whatever the way there. User names, certificates
 * and keys, and whether TLS is used, may change from one backup to the next.
 */
export function identityOf({ address, exportName }: Pick<NbdUri, 'address' | 'exportName'>): ExportIdentity {
  const uri = placeOf(address, encode(exportName));
  return { id: guestId(uri), name: uri, kind: 'disk', label: exportName, diskName: diskName(exportName) };
}

function placeOf(address: NbdAddress, path: string): string {
  if (address.kind === 'unix') {
    const socket = address.path.startsWith('\0') ? address.path : resolve(address.path);
    return `nbd+unix:///${path}?socket=${encode(socket)}`;
  }
  const host = address.host.toLowerCase();
  const port = address.port === NBD_PORT ? '' : `:${address.port}`;
  return `nbd://${host.includes(':') ? `[${host}]` : host}${port}/${path}`;
}

const encode = (text: string): string => encodeURIComponent(text).replaceAll('%2F', '/');
