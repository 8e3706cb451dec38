import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { VBackupError } from '../errors/index.js';
import type { NbdServerTls } from '../nbd/server/server-options.js';
import { PSK_LINE } from '../nbd/uri-loader.js';
import { ioError, systemCode } from '../storage/io-error.js';

/** Certificates and keys are some KiB. */
const LENGTH_LIMIT = 1024 * 1024;
const FOLDER_CURE =
  'the folder needs server-cert.pem and server-key.pem, and ca-cert.pem to demand certificates of clients';
const KEYS_CURE = 'make the file with psktool';

/**
 * The server's certificate and key, under the names that QEMU and libvirt have for them: `server-cert.pem`,
 * `server-key.pem`. With a `ca-cert.pem` beside them only clients with a certificate of that authority get in, as with
 * `verify-peer` of QEMU, which is its default, and `--tls-verify-peer` of nbdkit.
 * @throws VBackupError VB_SERVE_TLS
 */
export async function loadCertificates(folder: string): Promise<NbdServerTls> {
  const [certificate, key, ca] = await Promise.all([
    load(join(folder, 'server-cert.pem'), FOLDER_CURE),
    load(join(folder, 'server-key.pem'), FOLDER_CURE),
    loadOptional(join(folder, 'ca-cert.pem')),
  ]);
  for (const pem of [certificate, ca]) if (pem !== undefined) checkCertificate(folder, pem);
  checkKey(folder, { certificate, key });
  return { kind: 'x509', certificate, key, ca, requireClientCertificate: ca !== undefined };
}

/**
 * Keys by name, out of a file that `psktool` writes: `<name>:<key in hexadecimal>` in each line.
 * @throws VBackupError VB_SERVE_TLS
 */
export async function loadKeys(file: string): Promise<NbdServerTls> {
  const keys = new Map<string, Buffer>();
  for (const line of (await load(file, KEYS_CURE)).split('\n')) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const [, name, key] = PSK_LINE.exec(text) ?? [];
    // The line itself may be a secret.
    if (name === undefined || key === undefined) {
      throw new VBackupError('VB_SERVE_TLS', `${file} has a line that is not <name>:<key in hexadecimal>`, {
        cure: KEYS_CURE,
      });
    }
    keys.set(name, Buffer.from(key, 'hex'));
  }
  if (keys.size > 0) return { kind: 'psk', keys };
  throw new VBackupError('VB_SERVE_TLS', `${file} has no key`, { cure: KEYS_CURE });
}

async function load(path: string, cure: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > LENGTH_LIMIT) throw new VBackupError('VB_SERVE_TLS', `${path} has ${size} bytes`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof VBackupError) throw error;
    const cause = ioError(error, `cannot read ${path}`);
    throw new VBackupError('VB_SERVE_TLS', cause.message, { cause, cure });
  }
}

async function loadOptional(path: string): Promise<string | undefined> {
  try {
    return await load(path, FOLDER_CURE);
  } catch (error) {
    if (error instanceof VBackupError && isMissing(error.cause)) return undefined;
    throw error;
  }
}

const isMissing = (error: unknown): boolean =>
  systemCode(error) === 'ENOENT' || (error instanceof Error && systemCode(error.cause) === 'ENOENT');

function checkCertificate(folder: string, pem: string): void {
  try {
    // A file may hold several; the first is the leaf.
    void new X509Certificate(pem);
  } catch (cause) {
    throw new VBackupError('VB_SERVE_TLS', `${folder} holds something that is no certificate`, {
      cause,
      cure: 'server-cert.pem and ca-cert.pem are certificates in PEM',
    });
  }
}

/** Otherwise each client would be the first to hear of it, and none would get in. */
function checkKey(folder: string, { certificate, key }: { readonly certificate: string; readonly key: string }): void {
  try {
    createSecureContext({ cert: certificate, key });
  } catch (cause) {
    const what = 'is no key without a passphrase, or does not belong to server-cert.pem';
    throw new VBackupError('VB_SERVE_TLS', `${join(folder, 'server-key.pem')} ${what}`, { cause, cure: FOLDER_CURE });
  }
}
