import { VBackupError } from '../errors/index.js';

/** The peer did not prove who it is. */
export function untrusted(reason: string, cause?: unknown): VBackupError {
  return new VBackupError('VB_NBD_CERTIFICATE', `the NBD server did not prove who it is: ${reason}`, { cause });
}

/** Codes of OpenSSL's chain verification and of Node's name check, as `error.code`. */
const TRUST_FAULTS = /CERT|ISSUER|SELF_SIGNED|CRL|CA_|_LEAF_|PATH_LENGTH|HOSTNAME_MISMATCH/;

/** An error of the TLS handshake as ours. */
export function tlsError(cause: unknown): VBackupError {
  if (cause instanceof VBackupError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const text = cause instanceof Error ? cause.message : String(cause);
  // The server's alerts about our certificate (ERR_SSL_…) are no fault of its own.
  if (!code.startsWith('ERR_SSL') && TRUST_FAULTS.test(code)) return untrusted(text, cause);
  return new VBackupError('VB_NBD_TLS', `cannot agree on TLS with the NBD server: ${text}`, { cause });
}
