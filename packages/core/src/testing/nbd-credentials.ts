import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
/** qemu refuses a server whose certificate is that of an authority, which is what openssl makes without a word. */
const CONFIGURATION = `
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[end]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectAltName = DNS:localhost,IP:127.0.0.1
`;

/**
 * A folder with `pki` (an authority, a server's certificate for localhost and 127.0.0.1, and a client's) and `keys.psk`
 * (a key of alice), as nbdkit and qemu-nbd want them. Needs openssl.
 */
export class NbdCredentials implements AsyncDisposable {
  readonly folder: string;
  readonly key: Buffer;

  private constructor(folder: string, key: Buffer) {
    this.folder = folder;
    this.key = key;
  }

  static async make(): Promise<NbdCredentials> {
    const credentials = new NbdCredentials(await mkdtemp(join(tmpdir(), 'vbackup-pki-')), randomBytes(32));
    await mkdir(credentials.pki);
    await writeFile(join(credentials.pki, 'openssl.cnf'), CONFIGURATION);
    await credentials.#authority();
    await credentials.#issue('server');
    await credentials.#issue('client');
    await writeFile(join(credentials.folder, 'keys.psk'), `alice:${credentials.key.toString('hex')}\n`);
    return credentials;
  }

  get pki(): string {
    return join(this.folder, 'pki');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  async #authority(): Promise<void> {
    await this.#make({ name: 'ca', subject: '/CN=lab', extensions: 'authority' });
  }

  async #issue(name: string): Promise<void> {
    await this.#make({ name, subject: '/CN=localhost', extensions: 'end' }, [
      '-CA',
      'ca-cert.pem',
      '-CAkey',
      'ca-key.pem',
    ]);
  }

  async #make(
    { name, subject, extensions }: { readonly name: string; readonly subject: string; readonly extensions: string },
    authority: readonly string[] = [],
  ): Promise<void> {
    const files = ['-keyout', `${name}-key.pem`, '-out', `${name}-cert.pem`];
    const form = ['-config', 'openssl.cnf', '-extensions', extensions, '-subj', subject];
    await run('openssl', ['req', '-x509', ...KEY, ...form, ...authority, ...files], { cwd: this.pki });
  }
}
