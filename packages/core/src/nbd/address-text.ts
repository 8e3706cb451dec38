import { isIP } from 'node:net';
import type { NbdAddress } from './connect-options.js';

/** An address for messages. */
export function addressText(address: NbdAddress): string {
  if (address.kind === 'unix') return address.path.replace('\0', '@');
  return isIP(address.host) === 6 ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
