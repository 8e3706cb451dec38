import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cutAfterReads, selfSigned } from '@vbackup/lab';
import type { CommandResult } from './testing/command.js';
import { MIB, XenFixture } from './testing/xen-fixture.js';

describe('the password and the session of a XenAPI host', function () {
  this.timeout(120_000);
  let xen: XenFixture;
  beforeEach(async () => {
    xen = await XenFixture.start();
  });
  afterEach(() => xen[Symbol.asyncDispose]());

  it('are in nothing that a run prints, logs or leaves, however it ends', async () => {
    const results: CommandResult[] = [];
    const run = async (line: string, options: Parameters<XenFixture['run']>[1] = {}): Promise<void> => {
      results.push(await xen.run(`-v --log-file run-${results.length}.log ${line}`, options));
    };
    const machine = xen.host.addMachine({ name: 'web01', disks: [xen.disk] });
    const backUp = `--hypervisor xen ${xen.disk}`;
    await run(backUp);
    await run(`--json --hypervisor xen vm:${machine}`);
    await run(`restore ${xen.disk}@latest xen:sr=${xen.host.sr}`);
    await run('doctor --hypervisor xen');

    const { certificate, key } = await selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] });
    xen.host.faults.nbd.identity = { certificate, key };
    await run(backUp);
    xen.host.faults.clear();
    xen.host.faults.nbd.onRead = cutAfterReads(0, 1000);
    xen.host.guestWrite(xen.disk, 0, randomBytes(MIB));
    await run(backUp);
    xen.host.faults.clear();
    for (const fault of [
      { method: 'VDI.snapshot', error: ['SESSION_INVALID', 'OpaqueRef:x'] },
      { method: 'VDI.list_changed_blocks', drop: 'after' },
      { method: 'VDI.get_nbd_info', drop: 'before' },
      { method: 'session.login_with_password', error: ['INTERNAL_ERROR', `login(root, ${xen.host.password})`] },
    ] as const) {
      xen.host.faults.call({ ...fault, times: 1 });
      await run(`--json ${backUp}`);
    }
    xen.host.faults.clear();
    // An error that quotes the session, as xapi's do.
    xen.host.onCall((method) => {
      if (method !== 'Async.VDI.snapshot') return;
      const quoting = ['INTERNAL_ERROR', `no such thing: ${xen.host.secrets.at(-1)}`] as const;
      xen.host.faults.call({ method: 'VDI.snapshot', error: quoting, times: 1 });
    });
    await run(backUp);
    xen.host.onCall(undefined);
    xen.host.faults.clear();
    xen.holdFirstRead();
    await run(backUp, {
      onText: (text, child) => {
        if (/ inc|full/.test(text)) child.kill('SIGKILL');
      },
    });
    assert.deepEqual(
      results.map(({ code }) => code),
      [0, 0, 0, 0, 12, 1, 1, 0, 0, 1, 1, 137],
      results.map(({ err }) => err).join('\n---\n'),
    );

    const texts = results.flatMap(({ out, err }, index) => [
      { place: `stdout of run ${index}`, text: out },
      { place: `stderr of run ${index}`, text: err },
    ]);
    for (const path of await readdir(xen.folder, { recursive: true })) {
      if (path === 'password') continue;
      const text = await readFile(join(xen.folder, path), 'latin1').catch(() => '');
      texts.push({ place: path, text });
    }
    assert.ok(
      texts.some(({ place, text }) => place.includes('journal') && text.includes('snapshot-disk')),
      'the run that was killed left its journal',
    );
    assert.ok(texts.some(({ place, text }) => place === 'run-0.log' && text !== ''));
    assert.ok(
      texts.some(({ text }) => text.includes('no such thing: <session>')),
      'what quotes it is told without it',
    );
    const secrets = xen.host.secrets.map((secret) => secret.replace('OpaqueRef:', ''));
    assert.ok(secrets.length >= results.length, 'every run logged in');
    for (const { place, text } of texts) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `${place} holds ${secret}:\n${text}`);
    }
  });
});
