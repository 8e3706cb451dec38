import assert from 'node:assert/strict';
import type { JsonObject } from '@vbackup/core';
import { XenTask } from './task.js';
import { backUp, LabPool, MemoryJournal, pattern, readDisk, request, sha256 } from './testing/lab-pool.js';

const MIB = 1024 * 1024;
const RUN = 'a'.repeat(16);

/** Like a process that is killed just before the entry with `step` reaches the disk: nothing happens after it. */
class DyingJournal extends MemoryJournal {
  readonly died: Promise<void>;
  readonly #step: string;
  #die = (): void => {};

  constructor(step: string) {
    super();
    this.#step = step;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  override async record(entry: JsonObject): Promise<void> {
    if (entry['step'] === this.#step) {
      this.#die();
      await new Promise<never>(() => {});
    }
    await super.record(entry);
  }
}

for (const kind of ['disk', 'machine'] as const) {
  describe(`after a run on a ${kind} that died`, () => {
    let pool: LabPool;
    let uuid: string;
    let selector: string;
    beforeEach(async () => {
      pool = await LabPool.start();
      uuid = pool.addDisk();
      selector = kind === 'disk' ? uuid : `vm:${pool.host.addMachine({ name: 'web', disks: [uuid] })}`;
    });
    afterEach(async () => {
      await pool[Symbol.asyncDispose]();
    });

    /** The base of a first backup, so that there is something to lose. */
    const firstBackup = async () => {
      await using xen = await pool.connect();
      return backUp(xen, await xen.find(selector));
    };
    /** An increment works, and the pool is clean after it. */
    const assertHealed = async (first: Awaited<ReturnType<typeof firstBackup>>): Promise<void> => {
      {
        await using xen = await pool.connect();
        const since = first.snapshot.checkpoint;
        const inc = await backUp(xen, await xen.find(selector), {
          since,
          parents: first.images,
          backupId: 'e'.repeat(16),
        });
        assert.equal(inc.snapshot.disks[0]?.changes.kind, 'since');
        assert.equal(sha256(inc.images[0] ?? assert.fail()), await pool.host.digest(uuid));
      }
      pool.host.expireSessions();
      const { snapshots, bases, machineSnapshots } = pool.host.leftovers();
      assert.deepEqual([snapshots, bases.length, machineSnapshots], [[], 1, []]);
    };
    const recover = async (entries: readonly JsonObject[], committed: boolean): Promise<void> => {
      await using xen = await pool.connect();
      await xen.recover({ backupId: RUN, entries, committed });
      // It may die as well: doing it again changes nothing.
      await xen.recover({ backupId: RUN, entries, committed });
    };

    it('undoes a snapshot that was made but not noted any more', async () => {
      const first = await firstBackup();
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const journal = new DyingJournal('made');
      const xen = await pool.connect();
      const asked = request({ since: first.snapshot.checkpoint, backupId: RUN, journal });
      void xen.snapshot(await xen.find(selector), asked).catch(() => {});
      await journal.died;
      assert.equal(pool.host.leftovers().snapshots.length, 1);
      await recover(journal.entries, false);
      assert.deepEqual(pool.host.leftovers().snapshots, []);
      await assertHealed(first);
    });

    it('has nothing to undo before the snapshot', async () => {
      const first = await firstBackup();
      const journal = new DyingJournal(`snapshot-${kind}`);
      const xen = await pool.connect();
      const asked = request({ since: first.snapshot.checkpoint, backupId: RUN, journal });
      void xen.snapshot(await xen.find(selector), asked).catch(() => {});
      await journal.died;
      await recover(journal.entries, false);
      await assertHealed(first);
    });

    it('undoes a snapshot that was being read', async () => {
      const first = await firstBackup();
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const asked = request({ since: first.snapshot.checkpoint, backupId: RUN });
      const xen = await pool.connect();
      const snapshot = await xen.snapshot(await xen.find(selector), asked);
      await readDisk(snapshot.disks[0] ?? assert.fail());
      await recover(asked.journal.entries, false);
      await assertHealed(first);
    });

    it('takes back the task of a block map that was never asked for, and no task of others', async () => {
      const first = await firstBackup();
      const asked = request({ since: first.snapshot.checkpoint, backupId: RUN });
      const xen = await pool.connect();
      const snapshot = await xen.snapshot(await xen.find(selector), asked);
      const [made] = pool.host.leftovers().snapshots;
      {
        await using session = await pool.login();
        const held = [
          await XenTask.create(session, `block map of ${made}`),
          await XenTask.create(session, 'of others'),
        ];
        assert.equal(held.length, 2);
      }
      await recover(asked.journal.entries, false);
      const left = pool.host.records('task').map((task) => task['name_label']);
      assert.deepEqual(left, ['vbackup: of others']);
      void snapshot;
      await assertHealed(first);
    });

    it('finishes what was committed, at whatever step it stopped', async () => {
      const steps = ['VM.destroy', 'VDI.data_destroy', 'VDI.destroy'].filter(
        (step) => kind === 'machine' || step !== 'VM.destroy',
      );
      for (const method of [undefined, ...steps]) {
        await pool[Symbol.asyncDispose]();
        pool = await LabPool.start();
        uuid = pool.addDisk();
        selector = kind === 'disk' ? uuid : `vm:${pool.host.addMachine({ name: 'web', disks: [uuid] })}`;
        const first = await firstBackup();
        pool.host.guestWrite(uuid, MIB, pattern(512, 3));
        const asked = request({ since: first.snapshot.checkpoint, backupId: RUN });
        const xen = await pool.connect();
        const snapshot = await xen.snapshot(await xen.find(selector), asked);
        const { image } = await readDisk(snapshot.disks[0] ?? assert.fail(), first.images[0]);
        if (method !== undefined) {
          pool.host.faults.call({ method, times: 1, error: ['INTERNAL_ERROR', 'the test'] });
          await assert.rejects(snapshot.commit(), { code: 'VB_XEN_API' });
          // Disposing after a commit that failed must not take the new base away.
          await snapshot[Symbol.asyncDispose]();
        }
        await recover(asked.journal.entries, true);
        await assertHealed({ snapshot, images: [image], read: 0 });
      }
    });

    it('never takes the snapshot of somebody else', async () => {
      const first = await firstBackup();
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const other = await firstBackupOf(pool, selector);
      const journal = new DyingJournal('made');
      const xen = await pool.connect();
      void xen.snapshot(await xen.find(selector), request({ backupId: RUN, journal })).catch(() => {});
      await journal.died;
      await recover(journal.entries, false);
      assert.ok(pool.host.leftovers().bases.includes(other));
      void first;
    });
  });
}

/** The base that another repository keeps. */
async function firstBackupOf(pool: LabPool, selector: string): Promise<string> {
  const before = pool.host.leftovers().bases;
  await using xen = await pool.connect();
  await using snapshot = await xen.snapshot(await xen.find(selector), { ...request(), repositoryId: '1'.repeat(16) });
  await snapshot.commit();
  return pool.host.leftovers().bases.find((uuid) => !before.includes(uuid)) ?? assert.fail();
}

describe('a journal of another version', () => {
  it('is refused, and nothing is touched', async () => {
    await using pool = await LabPool.start();
    await using xen = await pool.connect();
    const leftover = { backupId: RUN, entries: [{ step: 'teleport' }], committed: false };
    await assert.rejects(xen.recover(leftover), { code: 'VB_XEN_JOURNAL' });
  });
});
