import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { selfSigned } from '../pki/index.js';
import { cutAfterReads } from './faults.js';
import type { XapiHost } from './host.js';
import { startXapiHost } from './start.js';
import { JsonClient } from './testing/json-client.js';

const run = promisify(execFile);
const MIB = 2 ** 20;

describe('NBD of the lab host, read by nbdcopy', () => {
  let folder: string;
  let host: XapiHost;
  let client: JsonClient;
  let disk: string;
  let snapshot: string;

  before(async function () {
    requireTools(this, ['nbdcopy']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-xapi-nbd-'));
  });

  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    host = await startXapiHost();
    client = await JsonClient.login(host);
    await writeFile(join(folder, 'ca-cert.pem'), host.certificate);
    disk = host.addDisk({ size: 3 * MIB, label: 'system' });
    host.guestWrite(disk, 100_000, randomBytes(MIB));
    snapshot = await client.text('VDI.snapshot', await client.text('VDI.get_by_uuid', disk));
  });

  afterEach(async () => {
    client[Symbol.dispose]();
    await host[Symbol.asyncDispose]();
  });

  it('gives the bytes of the snapshot, and a VBD in dom0 until it is unplugged', async () => {
    const target = join(folder, 'disk.raw');
    const expected = await host.digest(await client.text('VDI.get_uuid', snapshot));
    host.guestWrite(disk, 0, randomBytes(MIB));
    host.faults.nbd.unplugDelayMs = 1000;
    await copy(target);
    assert.equal(
      createHash('sha256')
        .update(await readFile(target))
        .digest('hex'),
      expected,
    );
    assert.equal(host.leftovers().exports.length, 1);
    await assert.rejects(client.call('VDI.destroy', snapshot), { code: 'VDI_IN_USE' });
    while (host.leftovers().exports.length > 0) await setTimeout(5);
    await client.call('VDI.destroy', snapshot);
  });

  it('ends at once for a session that is gone', async () => {
    host.expireSessions();
    await assert.rejects(copy(join(folder, 'nothing.raw')));
  });

  it('drops everyone when no network is for NBD', async () => {
    const network = await client.text('network.get_by_uuid', host.network);
    await client.call('network.remove_purpose', network, 'nbd');
    await assert.rejects(copy(join(folder, 'nothing.raw')));
  });

  it('is cut where a fault wants it', async () => {
    host.faults.nbd.onRead = cutAfterReads(1);
    await assert.rejects(copy(join(folder, 'cut.raw')));
    await copy(join(folder, 'whole.raw'));
  });

  it('shows another certificate where a fault wants it', async () => {
    host.faults.nbd.identity = await selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] });
    await assert.rejects(copy(join(folder, 'stranger.raw')), /certificate/);
  });

  async function copy(target: string): Promise<void> {
    const uuid = host.record('VDI', await client.text('VDI.get_uuid', snapshot).catch(() => disk))['uuid'];
    assert.ok(typeof uuid === 'string');
    const name = encodeURIComponent(`/${uuid}?session_id=${client.session}`);
    const uri = `nbds://127.0.0.1:${host.nbdPort}/${name}?tls-certificates=${folder}`;
    await run('nbdcopy', ['--request-size=262144', uri, target]);
  }
});
