import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdCredentials } from '../testing/nbd-credentials.js';
import { requireTools } from '../testing/tools.js';
import { loadCertificates, loadKeys } from './load-tls.js';

describe('loadCertificates', () => {
  let credentials: NbdCredentials;
  let folder: string;
  before(async function () {
    requireTools(this, ['openssl']);
    credentials = await NbdCredentials.make();
  });
  after(() => credentials?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-tls-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const put = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) await copyFile(join(credentials.pki, name), join(folder, name));
  };

  it('demands certificates of clients where there is an authority, and only there', async () => {
    await put('server-cert.pem', 'server-key.pem');
    const open = await loadCertificates(folder);
    assert.ok(open.kind === 'x509' && open.requireClientCertificate === false && open.ca === undefined);
    await put('ca-cert.pem');
    const closed = await loadCertificates(folder);
    assert.ok(closed.kind === 'x509' && closed.requireClientCertificate === true && closed.ca !== undefined);
  });

  it('refuses a folder without the server’s files, and files that are no certificates', async () => {
    await put('server-cert.pem', 'ca-cert.pem');
    await assert.rejects(loadCertificates(folder), { code: 'VB_SERVE_TLS' });
    await put('server-key.pem');
    await writeFile(join(folder, 'ca-cert.pem'), 'nothing');
    await assert.rejects(loadCertificates(folder), { code: 'VB_SERVE_TLS' });
  });

  it('refuses a key that is none, or another certificate’s, before any client comes', async () => {
    await put('server-cert.pem', 'server-key.pem');
    await copyFile(join(credentials.pki, 'ca-key.pem'), join(folder, 'server-key.pem'));
    await assert.rejects(loadCertificates(folder), { code: 'VB_SERVE_TLS', message: /does not belong to/ });
    await writeFile(join(folder, 'server-key.pem'), 'nothing');
    await assert.rejects(loadCertificates(folder), { code: 'VB_SERVE_TLS' });
  });

  it('never takes an authority that cannot be read for one that is not there', async () => {
    await put('server-cert.pem', 'server-key.pem');
    await writeFile(join(folder, 'ca-cert.pem'), Buffer.alloc(2 * 1024 * 1024));
    await assert.rejects(loadCertificates(folder), { code: 'VB_SERVE_TLS' });
  });
});

describe('loadKeys', () => {
  let file: string;
  beforeEach(async () => {
    file = join(await mkdtemp(join(tmpdir(), 'vbackup-psk-')), 'keys.psk');
  });
  afterEach(() => rm(join(file, '..'), { recursive: true }));

  it('reads the keys of all names, and no comments', async () => {
    await writeFile(file, '# made by psktool\nalice:00ff\n\nbob:AB\n');
    const tls = await loadKeys(file);
    assert.ok(tls.kind === 'psk');
    assert.deepEqual(
      [...tls.keys],
      [
        ['alice', Buffer.from([0, 255])],
        ['bob', Buffer.from([0xab])],
      ],
    );
  });

  it('refuses a file without a key, and a line that is none, without telling it', async () => {
    for (const text of ['', '# nothing\n', 'alice:00ff\nsecret words\n', 'alice:0ff\n']) {
      await writeFile(file, text);
      await assert.rejects(loadKeys(file), (error: Error) => !error.message.includes('secret'));
    }
    await assert.rejects(loadKeys(`${file}.missing`), { code: 'VB_SERVE_TLS', cure: /psktool/ });
  });
});
