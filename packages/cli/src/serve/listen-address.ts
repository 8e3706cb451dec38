import type { NbdAddress } from '@vbackup/core';
import { usageError } from '../usage.js';

/** IANA's port of NBD. */
const NBD_PORT = 10_809;
/** A host, an IPv6 address in brackets, or nothing for all addresses; and a port, or none for that of NBD. */
const ADDRESS = /^(?:\[(?<v6>[0-9a-f:.]+)\]|(?<host>[^:[\]]*))(?::(?<port>\d{1,5}))?$/i;

/** What `--listen` names; port 0 takes a free one. @throws VBackupError VB_CLI_USAGE */
export function listenAddress(text: string): NbdAddress & { readonly kind: 'tcp' } {
  const { v6, host = '', port } = ADDRESS.exec(text)?.groups ?? {};
  const number = port === undefined ? NBD_PORT : Number(port);
  // A host of digits alone is a forgotten one, and would be taken for an address of four bytes.
  if (!ADDRESS.test(text) || number > 65_535 || /^\d+$/.test(host)) {
    throw usageError(`${text} is no address to listen on`, 'write it as 127.0.0.1:10809, [::1]:10809 or host:port');
  }
  return { kind: 'tcp', host: v6 ?? host, port: number };
}
