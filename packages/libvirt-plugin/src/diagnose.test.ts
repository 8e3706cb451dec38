import assert from 'node:assert/strict';
import type { Diagnosis } from '@vbackup/core';
import { collect } from '@vbackup/core/testing';
import { diagnoseHost } from './diagnose.js';
import { FakeLibvirt } from './testing/fake-libvirt.js';

const all = (libvirt: FakeLibvirt): Promise<Diagnosis[]> => collect(diagnoseHost(libvirt));
const states = async (libvirt: FakeLibvirt): Promise<Record<string, string>> =>
  Object.fromEntries((await all(libvirt)).map(({ name, state }) => [name, state]));

describe('diagnoseHost', () => {
  it('finds a host good that can make backups, and changes nothing on it', async () => {
    const libvirt = new FakeLibvirt();
    libvirt.addDomain();
    libvirt.addDomain({ name: 'off', state: 'shut-off', active: false });
    assert.deepEqual(await all(libvirt), [
      { name: 'host', state: 'good', detail: 'fake: libvirt 9.0.0, QEMU 7.2.0' },
      { name: 'backup', state: 'good', detail: 'QEMU on this host can make backup jobs with checkpoints' },
      { name: 'domains', state: 'good', detail: '2 domains, 1 of them running' },
      { name: 'rights', state: 'good', detail: 'domains may be changed over this connection' },
    ]);
    assert.deepEqual(libvirt.calls, ['host', 'domainCapabilities', 'listDomains', 'domainXml web']);
  });

  for (const [what, change, name] of [
    ['another driver', { driver: 'LXC' }, 'host'],
    ['a libvirt that is too old', { daemonVersion: 7_005_000 }, 'host'],
    ['a QEMU that is too old', { hypervisorVersion: 5_002_000 }, 'host'],
    ['a library here that is too old', { libraryVersion: 6_000_000 }, 'host'],
  ] as const) {
    it(`finds ${what} bad`, async () => {
      const libvirt = new FakeLibvirt();
      libvirt.hostFacts = { ...libvirt.hostFacts, ...change };
      assert.equal((await states(libvirt))[name], 'bad');
    });
  }

  it('finds a host bad that cannot make backups', async () => {
    const libvirt = new FakeLibvirt();
    libvirt.capabilities = "<domainCapabilities><features><backup supported='no'/></features></domainCapabilities>";
    assert.equal((await states(libvirt))['backup'], 'bad');
  });

  for (const code of [29, 88]) {
    it(`finds a connection bad that may only look (${code})`, async () => {
      const libvirt = new FakeLibvirt();
      libvirt.addDomain();
      libvirt.fail('domainXml', code);
      assert.partialDeepStrictEqual((await all(libvirt)).at(-1), { name: 'rights', state: 'bad' });
    });
  }

  it('goes on after a question that cannot be answered', async () => {
    const libvirt = new FakeLibvirt();
    libvirt.fail('host', 3);
    assert.deepEqual(await states(libvirt), { host: 'bad', backup: 'good', domains: 'good' });
  });
});
