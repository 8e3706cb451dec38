import { isIP } from 'node:net';
import type { NbdAddress } from '../nbd/connect-options.js';
import { NBD_PORT } from '../nbd/words.js';

/** What a client is told to connect to: doc/uri.md of the NBD project. Its own certificates or key are its own matter. */
export function exportUri(address: NbdAddress, name: string, { secure }: { readonly secure: boolean }): string {
  const scheme = secure ? 'nbds' : 'nbd';
  const path = escaped(name);
  if (address.kind === 'unix') return `${scheme}+unix:///${path}?socket=${escaped(address.path)}`;
  // Without a host the port means nothing to libnbd.
  const named = address.host === '' ? 'localhost' : address.host;
  const host = isIP(named) === 6 ? `[${named}]` : named;
  const port = address.port === NBD_PORT ? '' : `:${address.port}`;
  return `${scheme}://${host}${port}/${path}`;
}

/** Slashes say more as they are, and mean the same. */
const escaped = (text: string): string => text.split('/').map(encodeURIComponent).join('/');
