import assert from 'node:assert/strict';
import type { Snapshot } from '@vbackup/core';
import { Fixture, request } from '../testing/fixture.js';

describe('the watch over a backup job', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const take = (): Promise<Snapshot> => fixture.hypervisor().snapshot(fixture.guest, request());
  const pauseByFullScratch = (): void => {
    fixture.domain.facts = { ...fixture.domain.facts, state: 'paused', pausedReason: 'io-error' };
  };

  it('ends the job of a guest that cannot write, and resumes it, by itself', async () => {
    await using snapshot = await take();
    pauseByFullScratch();
    const deadline = AbortSignal.timeout(10_000);
    while (fixture.domain.facts.state === 'paused') {
      assert.equal(deadline.aborted, false, 'nobody resumed the guest');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(fixture.domain.job, null);
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_SCRATCH_FULL' });
  });

  it('says what a read that failed really was', async () => {
    await using snapshot = await take();
    const [disk] = snapshot.disks;
    assert.ok(disk);
    await using reader = await disk.open({ connections: 1 });
    await reader.read(0, Buffer.alloc(512));
    fixture.exports.broken = true;
    await assert.rejects(reader.read(0, Buffer.alloc(512)), { code: 'VB_NBD_DISCONNECTED' });
    pauseByFullScratch();
    await assert.rejects(reader.read(0, Buffer.alloc(512)), { code: 'VB_LIBVIRT_SCRATCH_FULL' });
  });

  it('sees that the domain stopped, and that the job is another one', async () => {
    {
      await using snapshot = await take();
      fixture.domain.job = { xml: "<domainbackup><server transport='unix' socket='/x'/></domainbackup>" };
      await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_JOB_LOST' });
      fixture.domain.job = null;
    }
    await using snapshot = await take();
    await fixture.libvirt.destroyDomain(fixture.domain.facts.uuid);
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_DOMAIN_STOPPED' });
  });
});
