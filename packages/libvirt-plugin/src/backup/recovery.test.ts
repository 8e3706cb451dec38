import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import type { JsonObject } from '@vbackup/core';
import { Fixture, MemoryJournal, request } from '../testing/fixture.js';

describe('recovery of a libvirt domain', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  /** A run that dies while its disks are read. */
  const die = async (): Promise<readonly JsonObject[]> => {
    const journal = new MemoryJournal();
    await fixture.hypervisor().snapshot(fixture.guest, request({ journal }));
    return journal.entries;
  };
  const recover = (entries: readonly JsonObject[], committed: boolean): Promise<void> =>
    fixture.hypervisor().recover({ backupId: 'fedcba9876543210', entries, committed });
  const names = (): readonly string[] => fixture.domain.checkpoints.map(({ name }) => name);
  const uuid = (): string => fixture.domain.facts.uuid;

  for (const committed of [true, false]) {
    it(`${committed ? 'keeps' : 'deletes'} the checkpoint of a backup that was ${committed ? '' : 'not '}committed, twice as well as once`, async () => {
      const earlier = await fixture.hypervisor().snapshot(fixture.guest, request());
      await earlier.commit();
      const [base] = names();
      const entries = await die();
      const [, made] = names();
      const file = entries.find(({ step }) => step === 'job')?.['socket'];
      assert.ok(typeof file === 'string');
      await writeFile(file, '');
      for (let time = 0; time < 2; time += 1) {
        await recover(entries, committed);
        assert.deepEqual(names(), [committed ? made : base]);
        assert.deepEqual([fixture.domain.job, existsSync(file)], [null, false]);
      }
    });
  }

  it('thaws and resumes a guest, before it looks at anything else', async () => {
    const entries = [
      { step: 'freeze', domain: uuid() },
      { step: 'pause', domain: uuid() },
    ];
    await fixture.libvirt.freeze(uuid());
    await fixture.libvirt.suspendDomain(uuid());
    await recover(entries, false);
    assert.deepEqual([fixture.domain.agent?.frozen, fixture.domain.facts.state], [false, 'running']);
    await fixture.libvirt.suspendDomain(uuid());
    const over = ['resumed', 'thawed'].map((step) => ({ step, domain: uuid() }));
    await recover([...entries, ...over], false);
    assert.equal(fixture.domain.facts.state, 'paused', 'somebody else paused it later');
  });

  it('resumes a guest that its full scratch file paused', async () => {
    const entries = await die();
    fixture.domain.facts = { ...fixture.domain.facts, state: 'paused', pausedReason: 'io-error' };
    await recover(entries, false);
    assert.deepEqual([fixture.domain.facts.state, fixture.domain.job], ['running', null]);
  });

  it('leaves a job alone that somebody else began since', async () => {
    const entries = await die();
    const theirs = { xml: "<domainbackup><server transport='unix' socket='/tmp/theirs'/></domainbackup>" };
    fixture.domain.job = theirs;
    await recover(entries, false);
    assert.equal(fixture.domain.job, theirs);
  });

  it('leaves the checkpoint of a domain that is off for the next backup, which deletes it', async () => {
    const entries = await die();
    await fixture.libvirt.destroyDomain(uuid());
    await recover(entries, false);
    const [left] = names();
    assert.equal(names().length, 1);
    await fixture.libvirt.startDomain(uuid());
    const snapshot = await fixture.hypervisor().snapshot(fixture.guest, request());
    await snapshot.commit();
    assert.equal(names().includes(left ?? ''), false);
  });

  it('has nothing to do for a domain that is gone', async () => {
    const entries = await die();
    await fixture.libvirt.undefineDomain(uuid());
    await recover([{ step: 'freeze', domain: uuid() }, ...entries], false);
  });

  it('refuses entries that it does not know', async () => {
    await assert.rejects(recover([{ step: 'format', domain: uuid() }], false), { code: 'VB_LIBVIRT_JOURNAL' });
  });
});
