import assert from 'node:assert/strict';
import type { LibvirtEvent } from '../connection/index.js';
import { NO_JOB } from './fake-domain.js';
import { FakeLibvirt } from './fake-libvirt.js';

const checkpoint = (name: string): string => `<domaincheckpoint><name>${name}</name></domaincheckpoint>`;

describe('FakeLibvirt', () => {
  it('refuses what libvirt refuses, with its numbers', async () => {
    const libvirt = new FakeLibvirt();
    const { facts } = libvirt.addDomain();
    const off = libvirt.addDomain({ name: 'off', state: 'shut-off', active: false });
    const bare = libvirt.addDomain({ name: 'bare' });
    bare.agent = null;
    off.checkpoints.push({ name: 'c', parent: null, xml: checkpoint('c') });
    await libvirt.beginBackup(facts.uuid, { xml: '<domainbackup/>' });
    const table: readonly (readonly [Promise<unknown>, number])[] = [
      [libvirt.findDomain({ name: 'nobody' }), 42],
      [libvirt.domainXml('no uuid'), 42],
      [libvirt.beginBackup(facts.uuid, { xml: '' }), 68],
      [libvirt.beginBackup(off.facts.uuid, { xml: '' }), 84],
      [libvirt.createCheckpoint(off.facts.uuid, checkpoint('c')), 84],
      [libvirt.abortJob(off.facts.uuid), 55],
      [libvirt.undefineDomain(off.facts.uuid), 55],
      [libvirt.freeze(off.facts.uuid), 55],
      [libvirt.freeze(bare.facts.uuid), 74],
      [libvirt.checkpointXml(facts.uuid, 'none'), 103],
    ];
    for (const [call, libvirtCode] of table) await assert.rejects(call, { name: 'LibvirtError', libvirtCode });
  });

  it('begins and ends a backup, and tells of its end', async () => {
    const libvirt = new FakeLibvirt();
    const events: LibvirtEvent[] = [];
    using _listener = libvirt.onEvent((event) => events.push(event));
    const { uuid } = libvirt.addDomain().facts;
    await libvirt.beginBackup(uuid, { xml: '<domainbackup/>', checkpointXml: checkpoint('c1') });
    assert.equal(await libvirt.backupXml(uuid), '<domainbackup/>');
    assert.equal((await libvirt.jobFacts(uuid)).state, 'unbounded');
    await libvirt.abortJob(uuid);
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['job-completed'],
    );
    assert.deepEqual(await libvirt.jobFacts(uuid), NO_JOB);
    assert.equal((await libvirt.jobFacts(uuid, { completed: true })).success, true);
    assert.deepEqual(await libvirt.listCheckpoints(uuid), [{ name: 'c1', parent: null }]);
    assert.deepEqual(libvirt.calls.slice(0, 2), ['beginBackup web', 'backupXml web']);
  });

  it('keeps the chain of checkpoints when one of them is deleted', async () => {
    const libvirt = new FakeLibvirt();
    const { uuid } = libvirt.addDomain().facts;
    for (const name of ['a', 'b', 'c']) await libvirt.createCheckpoint(uuid, checkpoint(name));
    await assert.rejects(libvirt.createCheckpoint(uuid, checkpoint('a')), { libvirtCode: 9 });
    await libvirt.deleteCheckpoint(uuid, 'b');
    assert.deepEqual(await libvirt.listCheckpoints(uuid), [
      { name: 'a', parent: null },
      { name: 'c', parent: 'a' },
    ]);
  });

  it('freezes later when the agent does not answer, as libvirt does', async () => {
    const libvirt = new FakeLibvirt();
    const domain = libvirt.addDomain();
    const { agent } = domain;
    assert.ok(agent !== null);
    agent.answers = false;
    await assert.rejects(libvirt.freeze(domain.facts.uuid), { code: 'VB_LIBVIRT_AGENT_UNRESPONSIVE' });
    assert.equal(agent.frozen, true);
    agent.answers = true;
    await libvirt.thaw(domain.facts.uuid);
    assert.equal(agent.frozen, false);
  });

  it('fails where a test wants it, before or after the work was done, and once', async () => {
    const libvirt = new FakeLibvirt();
    const { facts } = libvirt.addDomain();
    libvirt.fail('suspendDomain', 1);
    libvirt.fail('suspendDomain', new Error('lost'), { after: true });
    await assert.rejects(libvirt.suspendDomain(facts.uuid), { code: 'VB_LIBVIRT_FAILED' });
    assert.equal((await libvirt.findDomain({ name: 'web' })).state, 'running');
    await assert.rejects(libvirt.suspendDomain(facts.uuid), /lost/);
    assert.equal((await libvirt.findDomain({ name: 'web' })).state, 'paused');
    await libvirt.resumeDomain(facts.uuid);
    libvirt.lose();
    await assert.rejects(libvirt.listDomains(), { code: 'VB_LIBVIRT_CLOSED' });
  });
});
