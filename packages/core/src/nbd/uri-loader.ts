import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { VBackupError } from '../errors/index.js';
import type { NbdConnectOptions, NbdTls } from './connect-options.js';
import { type NbdUriTls, parseNbdUri } from './uri.js';

/** A line of a file that `psktool` writes: a name and a key in hexadecimal. */
export const PSK_LINE = /^([^:]+):((?:[0-9a-f]{2})+)$/i;

/**
 * Parses an NBD URI and reads the certificates or the key that it names.
 * @throws VBackupError VB_NBD_URI if the URI, or a file that it names, is of no use
 */
export async function loadNbdUri(text: string): Promise<NbdConnectOptions> {
  const { address, exportName, tls } = parseNbdUri(text);
  return { address, exportName, ...(tls === undefined ? {} : { tls: await loadTls(tls) }) };
}

async function loadTls(tls: NbdUriTls): Promise<NbdTls> {
  if (tls.kind === 'psk') return loadKey(tls.file, tls.username ?? userInfo().username);
  const { certificates, hostname } = tls;
  if (certificates === undefined) return { kind: 'x509', hostname };
  const ca = await load(join(certificates, 'ca-cert.pem'));
  const certificate = await loadOptional(join(certificates, 'client-cert.pem'));
  const key = await loadOptional(join(certificates, 'client-key.pem'));
  if ((certificate === undefined) !== (key === undefined)) {
    throw new VBackupError('VB_NBD_URI', `${certificates} has only one of client-cert.pem and client-key.pem`);
  }
  return { kind: 'x509', ca, hostname, certificate, key };
}

async function loadKey(file: string, identity: string): Promise<NbdTls> {
  const text = await load(file);
  for (const line of text.split('\n')) {
    const [, name, key] = PSK_LINE.exec(line.trim()) ?? [];
    if (name === identity && key !== undefined) return { kind: 'psk', identity, key: Buffer.from(key, 'hex') };
  }
  throw new VBackupError('VB_NBD_URI', `${file} has no key of ${identity}`);
}

async function load(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new VBackupError('VB_NBD_URI', `cannot read ${path}`, { cause });
  }
}

async function loadOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new VBackupError('VB_NBD_URI', `cannot read ${path}`, { cause });
  }
}
