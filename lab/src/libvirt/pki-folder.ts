import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Authority } from '../pki/index.js';

/** The names that QEMU looks for are the files; those that libvirt's client looks for (`?pkipath=`) are links to them. */
const CLIENT_LINKS = [
  ['ca-cert.pem', 'cacert.pem'],
  ['client-cert.pem', 'clientcert.pem'],
  ['client-key.pem', 'clientkey.pem'],
] as const;

/** Writes an authority's certificate, a server's and a client's credentials, as libvirt, QEMU and NBD clients want them. */
export async function writePkiFolder(folder: string, authority: Authority): Promise<void> {
  await mkdir(folder, { recursive: true });
  const server = await authority.issue({ names: ['localhost'], addresses: ['127.0.0.1'] });
  const client = await authority.issue({ names: ['vbackup'], clientAuth: true });
  const files = {
    'ca-cert.pem': authority.certificate,
    'server-cert.pem': server.certificate,
    'server-key.pem': server.key,
    'client-cert.pem': client.certificate,
    'client-key.pem': client.key,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  for (const [file, link] of CLIENT_LINKS) await symlink(file, join(folder, link));
}
