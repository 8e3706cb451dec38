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
