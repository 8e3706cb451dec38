import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { FakeDisk, FakeHypervisor, type FakeStep, RepositoryFixture } from '../testing/index.js';

const MiB = 1024 * 1024;
const BEFORE_COMMIT: readonly FakeStep[] = ['snapshot-journal', 'snapshot-made', 'open', 'read', 'confirm'];
const AFTER_COMMIT: readonly FakeStep[] = ['commit-begin', 'commit-half'];

describe('a backup that fails', () => {
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 4 * MiB });
    hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(0, randomBytes(3 * MiB));
    await fixture.backUp(hypervisor);
    disk.guestWrite(MiB, randomBytes(2 * MiB));
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const failAt = (...steps: readonly FakeStep[]): void => {
    hypervisor.onStep = (step) => {
      if (steps.includes(step)) throw new Error(`fault at ${step}`);
    };
  };

  /** The next run heals whatever is left, and every backup reads back. */
  const assertHealed = async (level: 'full' | 'inc' = 'inc'): Promise<void> => {
    hypervisor.onStep = () => undefined;
    const { manifest } = await fixture.backUp(hypervisor);
    assert.equal(manifest.level, level);
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
    assert.deepEqual(await fixture.damage(), []);
    assert.equal(hypervisor.snapshots.size, 0);
    assert.equal(hypervisor.checkpoints.size, 1);
    assert.equal(hypervisor.openReaders, 0);
    assert.ok(!(await fixture.files()).some((name) => /journal|lock|partial/.test(name)));
  };

  for (const step of BEFORE_COMMIT) {
    for (const way of ['fault', 'abort'] as const) {
      it(`leaves nothing after ${way === 'fault' ? 'a fault' : 'an abort'} at ${step}`, async () => {
        const before = await fixture.everything();
        const stop = new AbortController();
        const reason = new Error(`${way} at ${step}`);
        hypervisor.onStep = (at) => {
          if (at === step && way === 'fault') throw reason;
          if (at === step) stop.abort(reason);
        };
        await assert.rejects(fixture.backUp(hypervisor, 'auto', { signal: stop.signal }), reason);
        assert.deepEqual(await fixture.everything(), before);
        assert.equal(hypervisor.snapshots.size, 0);
        assert.equal(hypervisor.checkpoints.size, 1);
        assert.equal(hypervisor.openReaders, 0);
        await assertHealed();
      });
    }

    it(`leaves nothing of a first full after a fault at ${step}`, async () => {
      const other = new FakeHypervisor([disk], { guest: { id: 'other' } });
      const before = await fixture.files();
      other.onStep = (at) => {
        if (at === step) throw new Error('fault');
      };
      await assert.rejects(fixture.backUp(other), /fault/);
      assert.deepEqual(await fixture.files(), before);
      assert.deepEqual(
        (await fixture.everything()).filter((name) => name.startsWith('fake/other')),
        [],
      );
    });

    it(`heals in the next run when tidying up failed too, after a fault at ${step}`, async () => {
      failAt(step, 'dispose', 'recover');
      await assert.rejects(fixture.backUp(hypervisor), new RegExp(`fault at ${step}`));
      assert.equal((await fixture.files()).filter((name) => name.endsWith('journal.ndjson')).length, 1);
      await assertHealed();
    });
  }

  for (const step of AFTER_COMMIT) {
    it(`stands when the hypervisor fails at ${step}, with a warning, and the next run finishes`, async () => {
      failAt(step);
      const { manifest, warnings } = await fixture.backUp(hypervisor);
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['VB_COMMIT_INCOMPLETE'],
      );
      assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
      disk.guestWrite(5000, randomBytes(5000));
      await assertHealed();
    });
  }

  it('does not run while what is left cannot be undone', async () => {
    failAt('read', 'dispose');
    await assert.rejects(fixture.backUp(hypervisor), /fault at read/);
    failAt('recover');
    await assert.rejects(fixture.backUp(hypervisor), /fault at recover/);
    await assertHealed();
  });

  it('is stopped before it begins by a signal that is aborted', async () => {
    const before = await fixture.everything();
    const signal = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(fixture.backUp(hypervisor, 'auto', { signal }), /stopped/);
    assert.deepEqual(await fixture.everything(), before);
  });
});
