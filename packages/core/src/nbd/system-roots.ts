import tls from 'node:tls';

let roots: readonly string[] | undefined;

/**
 * The certificates (PEM) that the system trusts, as its other programs do: those of SSL_CERT_FILE and SSL_CERT_DIR, else
 * of /etc/ssl; and those of NODE_EXTRA_CA_CERTS. Node by itself knows only the list that it was built with, which lacks
 * an authority of one's own; that list serves where the system has none.
 */
export function systemRoots(): string[] {
  roots ??= readRoots();
  return [...roots];
}

function readRoots(): readonly string[] {
  const system = tls.getCACertificates('system');
  if (system.length === 0) return tls.getCACertificates('default');
  return [...new Set([...system, ...tls.getCACertificates('extra')])];
}
