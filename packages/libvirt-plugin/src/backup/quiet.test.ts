import assert from 'node:assert/strict';
import type { Snapshot } from '@vbackup/core';
import { libvirtError } from '../connection/index.js';
import type { LibvirtOptions } from '../options.js';
import type { FakeAgent } from '../testing/fake-domain.js';
import { Fixture, MemoryJournal, request } from '../testing/fixture.js';

describe('a guest at the instant of its backup', () => {
  let fixture: Fixture;
  let journal: MemoryJournal;
  beforeEach(async () => {
    fixture = await Fixture.make();
    journal = new MemoryJournal();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const take = (options: Partial<LibvirtOptions>): Promise<Snapshot> =>
    fixture.hypervisor(options).snapshot(fixture.guest, request({ journal }));
  const agent = (): FakeAgent => fixture.domain.agent ?? assert.fail('no agent');
  const steps = (): unknown => journal.entries.map(({ step }) => step);
  const calls = (...wanted: readonly string[]): readonly string[] =>
    fixture.libvirt.calls.map((call) => call.split(' ')[0] ?? '').filter((call) => wanted.includes(call));

  it('is frozen for no longer than the job needs to begin', async () => {
    await using snapshot = await take({ freeze: [] });
    assert.equal(snapshot.disks.length, 2);
    assert.deepEqual(calls('freeze', 'beginBackup', 'thaw'), ['freeze', 'beginBackup', 'thaw']);
    assert.deepEqual(steps(), ['freeze', 'job', 'thawed', 'answered']);
    assert.deepEqual([agent().frozen, agent().timeoutSeconds], [false, null]);
  });

  it('is thawed and resumed if the job cannot begin', async () => {
    fixture.libvirt.fail('beginBackup', 1);
    await assert.rejects(take({ freeze: [], pause: true }), { code: 'VB_LIBVIRT_FAILED' });
    assert.deepEqual([agent().frozen, fixture.domain.facts.state], [false, 'running']);
    assert.deepEqual(steps(), ['freeze', 'pause', 'job', 'resumed', 'thawed', 'answered']);
  });

  it('is thawed when its agent wakes up and executes a freeze that was given up', async () => {
    agent().answers = false;
    fixture.libvirt.fail('thaw', 86);
    setTimeout(() => {
      agent().answers = true;
    }, 200);
    await assert.rejects(take({ freeze: [] }), { code: 'VB_LIBVIRT_AGENT_UNRESPONSIVE' });
    assert.equal(agent().frozen, false);
    assert.equal(fixture.domain.job, null);
    assert.deepEqual(steps(), ['freeze', 'thawed']);
  });

  it('without an agent is not waited for', async () => {
    const native = {
      code: 86,
      domain: 10,
      message: 'Guest agent is not responding: QEMU guest agent is not connected',
    };
    fixture.libvirt.fail('freeze', libvirtError('freeze', native));
    await assert.rejects(take({ freeze: [] }), { code: 'VB_LIBVIRT_AGENT_UNRESPONSIVE' });
    fixture.domain.agent = null;
    await assert.rejects(take({ freeze: [] }), { code: 'VB_LIBVIRT_NO_AGENT' });
    assert.deepEqual(calls('thaw', 'beginBackup'), []);
  });

  it('that somebody else paused stays paused', async () => {
    fixture.domain.facts = { ...fixture.domain.facts, state: 'paused', pausedReason: 'user' };
    await using snapshot = await take({ pause: true });
    assert.deepEqual([fixture.domain.facts.state, snapshot.disks.length], ['paused', 2]);
    assert.deepEqual(calls('suspendDomain', 'resumeDomain'), []);
  });

  it('is paused while the job begins', async () => {
    await using snapshot = await take({ pause: true });
    assert.deepEqual(calls('suspendDomain', 'beginBackup', 'resumeDomain').length, 3);
    assert.deepEqual([fixture.domain.facts.state, snapshot.disks.length], ['running', 2]);
  });
});
