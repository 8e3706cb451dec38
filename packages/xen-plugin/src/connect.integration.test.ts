import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OptionValues } from '@vbackup/core';
import { makeAuthority, selfSigned } from '@vbackup/lab';
import { backUp, LabPool } from './testing/lab-pool.js';

const OTHER = `sha256:${'00'.repeat(32)}`;

describe('connecting to a XenServer pool', () => {
  let pool: LabPool;
  let folder: string;
  beforeEach(async () => {
    pool = await LabPool.start();
    folder = await mkdtemp(join(tmpdir(), 'vbackup-xen-'));
  });
  afterEach(async () => {
    await pool[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const file = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  const works = async (values: OptionValues): Promise<void> => {
    await using xen = await pool.connect(values);
    await xen.find(pool.addDisk());
  };

  it('logs in, and logs out', async () => {
    await works({});
    pool.assertClean(0);
    assert.equal(pool.host.calls.at(-1), 'session.logout');
  });

  it('refuses a wrong password, and does not repeat it', async () => {
    const password = 'not the right one';
    await assert.rejects(pool.connect({ password }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'VB_XEN_AUTHENTICATION');
      assert.ok(!JSON.stringify([error.message, error.stack, error.cause]).includes(password));
      return true;
    });
    assert.equal(pool.host.calls.length, 1);
  });

  it('refuses a certificate that nothing vouches for, and prints what to pin', async () => {
    await assert.rejects(pool.connect({ fingerprint: undefined }), {
      code: 'VB_XEN_CERTIFICATE_UNTRUSTED',
      message: new RegExp(`sha256:${pool.host.fingerprint}`),
      cure: new RegExp(`--xen-fingerprint sha256:${pool.host.fingerprint}`),
    });
    assert.deepEqual(pool.host.calls, [], 'not a byte of ours was sent');
  });

  it('refuses another certificate than the pinned one', async () => {
    await assert.rejects(pool.connect({ fingerprint: OTHER }), { code: 'VB_XEN_FINGERPRINT_MISMATCH' });
    assert.deepEqual(pool.host.calls, []);
  });

  it('checks the certificate of every new connection, not of the first one alone', async () => {
    const disk = pool.addDisk();
    const xen = await pool.connect({});
    await xen.find(disk);
    pool.host.impersonate(await selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] }));
    const calls = pool.host.calls.length;
    await assert.rejects(xen.find(disk), { code: 'VB_XEN_FINGERPRINT_MISMATCH' });
    assert.equal(pool.host.calls.length, calls, 'not a byte of ours was sent');
    await xen[Symbol.asyncDispose]();
  });

  it('takes one of several fingerprints', () => works({ fingerprint: `${OTHER},sha256:${pool.host.fingerprint}` }));

  it('takes a self-signed certificate as its own authority', async () => {
    await works({ fingerprint: undefined, ca: await file('host.pem', pool.host.certificate) });
  });

  it('takes a certificate by its authority, and only for the right name', async () => {
    const authority = await makeAuthority();
    const ca = await file('ca.pem', authority.certificate);
    for (const [address, good] of [
      ['127.0.0.1', true],
      ['192.0.2.1', false],
    ] as const) {
      const identity = await authority.issue({ names: ['xen1.lab'], addresses: [address] });
      await using signed = await LabPool.start({ identity });
      const connecting = signed.connect({ fingerprint: undefined, ca });
      if (good) {
        await using xen = await connecting;
        const disk = signed.addDisk();
        await backUp(xen, await xen.find(disk));
      } else await assert.rejects(connecting, { code: 'VB_XEN_CERTIFICATE_UNTRUSTED' });
    }
    await assert.rejects(pool.connect({ fingerprint: undefined, ca }), { code: 'VB_XEN_CERTIFICATE_UNTRUSTED' });
  });

  it('demands both where both are given', async () => {
    const authority = await makeAuthority();
    const ca = await file('ca.pem', authority.certificate);
    await assert.rejects(pool.connect({ ca }), { code: 'VB_XEN_CERTIFICATE_UNTRUSTED' });
  });

  it('goes on to the coordinator when it meets another host of the pool', async () => {
    const member = await pool.host.addMember();
    const fingerprint = `sha256:${pool.host.fingerprint},sha256:${member.identity.fingerprint}`;
    await works({ url: member.url, fingerprint });
    pool.assertClean(0);
  });

  it('says that the coordinator has a certificate of its own', async () => {
    const member = await pool.host.addMember();
    const fingerprint = `sha256:${member.identity.fingerprint}`;
    await assert.rejects(pool.connect({ url: member.url, fingerprint }), {
      code: 'VB_XEN_FINGERPRINT_MISMATCH',
      message: /member of a pool and names 127\.0\.0\.1/,
      cure: new RegExp(`${fingerprint},sha256:${pool.host.fingerprint}`),
    });
  });

  it('does not wait forever for a host that does not answer', async () => {
    pool.host.faults.call({ method: 'session.login_with_password', delayMs: Number.POSITIVE_INFINITY });
    const signal = AbortSignal.timeout(200);
    await assert.rejects(pool.connect({}, signal), { name: 'TimeoutError' });
  });

  it('says which host cannot be reached', async () => {
    const { url } = pool.host;
    await pool.host[Symbol.asyncDispose]();
    await assert.rejects(pool.connect(), { code: 'VB_XEN_TRANSPORT', message: new RegExp(new URL(url).host) });
  });

  it('tells the conditions of a backup, each with its cure', async () => {
    await using closed = await LabPool.start({ nbdPurpose: 'none' });
    closed.host.addSr({ label: 'Old', type: 'linstor', cbt: false });
    await using xen = await closed.connect();
    const states: string[] = [];
    for await (const { name, state, cure } of xen.diagnose?.() ?? assert.fail()) {
      states.push(`${name}: ${state}`);
      assert.equal(cure === undefined, state === 'good', name);
    }
    assert.deepEqual(states, [
      'login: good',
      'host xen1.lab: good',
      'licence: good',
      'nbd: bad',
      'storage Local storage: good',
      'storage Old: warning',
    ]);
  });

  it('tells no secret in any message', async () => {
    const uuid = pool.addDisk();
    await using xen = await pool.connect();
    await using snapshot = await xen.snapshot(await xen.find(uuid), {
      backupId: 'a'.repeat(16),
      repositoryId: 'b'.repeat(16),
      since: null,
      keepCheckpoint: true,
      journal: { record: async (entry) => assert.ok(!JSON.stringify(entry).includes('OpaqueRef')) },
    });
    pool.host.faults.nbd.onRead = () => ({ kind: 'cut' });
    await using reader = await (snapshot.disks[0] ?? assert.fail()).open({ connections: 1 });
    await assert.rejects(reader.read(0, Buffer.alloc(512)), (error: Error) => {
      const text = everythingOf(error);
      assert.ok(!text.includes('OpaqueRef') && !text.includes(pool.host.password), text);
      return true;
    });
  });
});

/** Everything that a log could show of an error. */
function everythingOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack ?? ''} ${JSON.stringify(error)} ${error.cause === undefined ? '' : everythingOf(error.cause)}`;
}
