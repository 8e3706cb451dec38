import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checkpoint, type JsonObject, type Snapshot, VBackupError } from '@vbackup/core';
import { parseCheckpointRecord } from '../../checkpoint/index.js';
import { Fixture, MemoryJournal, type RequestOptions, request } from '../../testing/fixture.js';

const MIB = 2 ** 20;
const QCOW2 = '/nowhere/a.qcow2';
const died = (): Error => new Error('the machine stops here');
const locked = (): VBackupError => new VBackupError('VB_IMAGE_LOCKED', 'cannot open a.qcow2');

describe('a snapshot of a libvirt domain that is off', () => {
  let fixture: Fixture;
  let raw: string;
  beforeEach(async () => {
    fixture = await Fixture.make();
    raw = join(fixture.folder, 'b.raw');
    await writeFile(raw, 'raw');
    fixture.domain.xml = fixture.domain.xml.replace('/nowhere/b.raw', raw);
    await fixture.libvirt.destroyDomain(uuid());
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const uuid = (): string => fixture.domain.facts.uuid;
  const take = (options: RequestOptions = {}): Promise<Snapshot> =>
    fixture.hypervisor().snapshot(fixture.guest, request(options));
  /** A whole backup. @returns what a later one stands on */
  const backUp = async (options: RequestOptions = {}): Promise<Checkpoint> => {
    await using snapshot = await take(options);
    await snapshot.confirm?.();
    await snapshot.commit();
    return snapshot.checkpoint ?? assert.fail('no checkpoint');
  };
  const recover = (entries: readonly JsonObject[], committed = false): Promise<void> =>
    fixture.hypervisor().recover({ backupId: 'fedcba9876543210', entries, committed });
  const names = (): readonly string[] => fixture.domain.checkpoints.map(({ name }) => name);
  const changesOf = (snapshot: Snapshot): unknown =>
    Object.fromEntries(snapshot.disks.map((disk) => [disk.name, disk.changes]));
  const nameOf = (checkpoint: Checkpoint): string => parseCheckpointRecord(checkpoint).name ?? assert.fail('no name');
  /** Only the raw disk is left, which no lock of QEMU keeps anybody from. */
  const onlyRaw = (): Promise<Snapshot> => fixture.hypervisor({ exclude: ['vda'] }).snapshot(fixture.guest, request());

  it('warns of a disk that a restore in place left as a mixture', async () => {
    await writeFile(`${raw}.restoring`, 'a note');
    await using _snapshot = await take();
    assert.deepEqual(
      fixture.warnings.map(({ code }) => code),
      ['VB_TARGET_MIXED'],
    );
  });

  it('reads everything at first, and leaves a bitmap and a checkpoint of the same name', async () => {
    await using snapshot = await take();
    assert.deepEqual(changesOf(snapshot), { vda: { kind: 'all' }, vdb: { kind: 'all' } });
    assert.deepEqual(fixture.images.served, [QCOW2, raw]);
    const { name, disks } = parseCheckpointRecord(snapshot.checkpoint ?? {});
    assert.deepEqual(disks, [
      { target: 'vda', size: MIB, bitmap: true },
      { target: 'vdb', size: MIB, bitmap: false },
    ]);
    await snapshot.confirm?.();
    await snapshot.commit();
    assert.deepEqual([fixture.images.names(QCOW2), names()], [[name], [name]]);
    assert.deepEqual(fixture.images.served, []);
    assert.deepEqual(fixture.warnings, []);
    assert.deepEqual(
      snapshot.configuration.map((file) => file.name),
      ['domain.xml', 'libvirt.json', 'checkpoint.xml', 'vda.image.json', 'vdb.image.json'],
    );
  });

  it('asks the bitmap of the last backup, and replaces it only at the end', async () => {
    const since = await backUp();
    const base = nameOf(since);
    fixture.exports.dirty.set('vda', [{ offset: 65_536, length: 65_536 }]);
    fixture.images.set(QCOW2, { clusterSize: 2 * MIB });
    await using snapshot = await take({ since });
    assert.deepEqual(changesOf(snapshot), {
      vda: {
        kind: 'since',
        method: 'dirty-bitmap',
        extents: [{ offset: 65_536, length: 65_536 }],
        forgetful: { blockLength: 2 * MIB },
      },
      vdb: { kind: 'compare', method: 'compare', extents: [{ offset: 0, length: MIB }] },
    });
    assert.deepEqual(
      fixture.images.requests.slice(-2).map(({ bitmap }) => bitmap),
      [base, null],
    );
    assert.equal(fixture.images.names(QCOW2).length, 2);
    await snapshot.commit();
    assert.deepEqual(fixture.images.names(QCOW2), names());
    assert.equal(names().includes(base), false);
  });

  it('stands on the checkpoint of a backup that was made while the guest ran, and the other way round', async () => {
    await fixture.libvirt.startDomain(uuid());
    const online = await backUp();
    await fixture.libvirt.destroyDomain(uuid());
    fixture.images.setBitmap(QCOW2, nameOf(online));
    const offline = await backUp({ since: online });
    assert.deepEqual(fixture.images.names(QCOW2), [nameOf(offline)]);
    await fixture.libvirt.startDomain(uuid());
    await using snapshot = await take({ since: offline });
    assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'since' } });
    await snapshot.commit();
    assert.deepEqual(names(), [nameOf(snapshot.checkpoint ?? {})]);
  });

  it('leaves the base where it is for a differential, and changes no image', async () => {
    const since = await backUp();
    fixture.images.calls.length = 0;
    await using snapshot = await take({ since, keepCheckpoint: false });
    assert.equal(snapshot.checkpoint, null);
    assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'since' } });
    await snapshot.commit();
    assert.deepEqual([names(), fixture.images.names(QCOW2)], [[nameOf(since)], [nameOf(since)]]);
    assert.deepEqual(fixture.images.calls, ['serve a.qcow2', 'serve b.raw']);
  });

  for (const [what, flags, reason] of [
    ['was not closed', { inUse: true, auto: false }, 'tracking-lost'],
    ['does not record', { auto: false }, 'tracking-lost'],
    ['is gone', null, 'base-missing'],
  ] as const) {
    it(`reads everything if the bitmap ${what}, and removes it at the end`, async () => {
      const since = await backUp();
      fixture.images.set(QCOW2, { bitmaps: [] });
      if (flags !== null) fixture.images.setBitmap(QCOW2, nameOf(since), flags);
      await using snapshot = await take({ since });
      assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'all', reason } });
      assert.equal(fixture.images.requests.at(-2)?.bitmap, null);
      await snapshot.commit();
      const made = nameOf(snapshot.checkpoint ?? {});
      assert.deepEqual([names(), fixture.images.names(QCOW2)], [[made], [made]]);
    });
  }

  it('removes the bitmap of a base that libvirt has forgotten', async () => {
    const since = await backUp();
    fixture.domain.checkpoints = [];
    await using snapshot = await take({ since });
    assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'since' } });
    await snapshot.commit();
    assert.deepEqual(fixture.images.names(QCOW2), names());
  });

  it('compares a disk whose lower image recorded a part of the changes', async () => {
    const since = await backUp();
    fixture.images.setBitmap('/nowhere/base.qcow2', nameOf(since));
    fixture.images.set(QCOW2, { backingPath: '/nowhere/base.qcow2', backingFormat: 'qcow2' });
    await using snapshot = await take({ since });
    assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'compare' } });
  });

  for (const [what, change, reason] of [
    ['stands on an image of unknown format', { backingPath: '/nowhere/base' }, /of which format/],
    ['stands on another machine', { backingPath: 'nbd://host/x', backingFormat: 'raw' }, /no file of this machine/],
    ['is encrypted', { encrypted: true }, /encrypted/],
  ] as const) {
    it(`leaves out a disk that ${what}, and refuses it where it is the only one`, async () => {
      fixture.images.set(QCOW2, change);
      await using snapshot = await take();
      assert.deepEqual(
        snapshot.disks.map(({ name }) => name),
        ['vdb'],
      );
      assert.match(fixture.warnings.map(({ code, message }) => `${code} ${message}`).join(), /^VB_LIBVIRT_DISK .*vda/);
      const one = await fixture.hypervisor().find('web:vda');
      const error = { code: 'VB_LIBVIRT_DISK', message: reason };
      await assert.rejects(fixture.hypervisor().snapshot(one, request()), error);
    });
  }

  for (const [what, from, to] of [
    ['encrypted by libvirt', '<target dev=', "<encryption format='luks'/><target dev="],
    ['a slice of its image', "<source file='X'/>", "<source file='X'><slices/></source>"],
    ['on the network', "type='file' device='disk'", "type='network' device='disk'"],
  ] as const) {
    it(`leaves out a disk that is ${what}`, async () => {
      const xml = fixture.domain.xml.replace(QCOW2, 'X');
      fixture.domain.xml = xml.replace(from, to);
      assert.notEqual(fixture.domain.xml, xml);
      await using snapshot = await take();
      assert.equal(snapshot.disks.length, 1);
    });
  }

  it('undoes everything if the backup is not committed', async () => {
    const since = await backUp();
    const snapshot = await take({ since });
    await snapshot[Symbol.asyncDispose]();
    assert.deepEqual([names(), fixture.images.names(QCOW2)], [[nameOf(since)], [nameOf(since)]]);
    assert.deepEqual(fixture.images.served, []);
  });

  it('says that the domain was started where an image cannot be opened because of that, and only there', async () => {
    for (const call of ['add', 'serve']) {
      const journal = new MemoryJournal();
      fixture.images.fail(call, locked());
      await assert.rejects(take({ journal }), { code: 'VB_IMAGE_LOCKED' });
      await recover(journal.entries);
      assert.deepEqual([names(), fixture.images.names(QCOW2)], [[], []]);
    }
    const journal = new MemoryJournal();
    journal.record = async (entry) => {
      journal.entries.push(structuredClone(entry));
      await fixture.libvirt.startDomain(uuid());
      fixture.images.fail('add', locked());
    };
    await assert.rejects(take({ journal }), { code: 'VB_LIBVIRT_STARTED' });
    assert.deepEqual(fixture.images.served, []);
  });

  for (const [what, happens] of [
    ['runs at the end', () => fixture.libvirt.startDomain(uuid())],
    [
      'was started and stopped again',
      async () =>
        fixture.libvirt.emit({
          kind: 'lifecycle',
          domain: uuid(),
          name: 'web',
          change: 'started',
          detail: 0,
          ioError: false,
        }),
    ],
    ['may have written to a raw image', () => writeFile(raw, 'more')],
  ] as const) {
    it(`is not confirmed if the domain ${what}`, async () => {
      await using snapshot = await onlyRaw();
      await snapshot.confirm?.();
      await happens();
      await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_STARTED' });
    });
  }

  it('tells once that somebody tried to start the domain meanwhile', async () => {
    await using snapshot = await take();
    fixture.domain.facts = { ...fixture.domain.facts, startFailed: true };
    await snapshot.confirm?.();
    await snapshot.confirm?.();
    assert.deepEqual(
      fixture.warnings.map(({ code }) => code),
      ['VB_LIBVIRT_START_REFUSED'],
    );
  });

  describe('after a death', () => {
    /** What is there when the run dies at `point`, with its journal. */
    const dieAt = async (point: string, since: Checkpoint): Promise<readonly JsonObject[]> => {
      const journal = new MemoryJournal();
      switch (point) {
        case 'before the bitmap':
          fixture.images.fail('add', died());
          break;
        case 'before libvirt is told':
          fixture.libvirt.fail('createCheckpoint', died());
          break;
        case 'after libvirt is told':
          fixture.libvirt.fail('createCheckpoint', died(), { after: true });
          break;
        case 'while the servers start':
          fixture.images.fail('serve', died());
          break;
        default:
          await take({ since, journal });
          fixture.images.served.length = 0;
          return journal.entries;
      }
      await assert.rejects(take({ since, journal }), /the machine stops here/);
      return journal.entries;
    };
    const POINTS = [
      'before the bitmap',
      'before libvirt is told',
      'after libvirt is told',
      'while the servers start',
      'while the disks are read',
    ];
    for (const point of POINTS) {
      it(`${point} nothing is left, twice as well as once`, async () => {
        const since = await backUp();
        const base = nameOf(since);
        const entries = await dieAt(point, since);
        for (let time = 0; time < 2; time += 1) {
          await recover(entries);
          assert.deepEqual([names(), fixture.images.names(QCOW2)], [[base], [base]]);
        }
        assert.ok(fixture.images.removedFolders.length >= 4);
        await using snapshot = await take({ since });
        assert.partialDeepStrictEqual(changesOf(snapshot), { vda: { kind: 'since' } });
      });
    }

    it('of a run that was committed the base is removed, wherever it died again', async () => {
      const since = await backUp();
      const entries = await dieAt('while the disks are read', since);
      const made = names().at(-1);
      fixture.images.fail('remove', died());
      await assert.rejects(recover(entries, true), /stops here/);
      fixture.libvirt.fail('deleteCheckpoint', died());
      await assert.rejects(recover(entries, true), /stops here/);
      for (let time = 0; time < 2; time += 1) {
        await recover(entries, true);
        assert.deepEqual([names(), fixture.images.names(QCOW2)], [[made], [made]]);
      }
    });

    it('of a run that was committed libvirt deletes the base if the domain runs by then', async () => {
      const since = await backUp();
      const entries = await dieAt('while the disks are read', since);
      const made = names().at(-1);
      fixture.images.calls.length = 0;
      await fixture.libvirt.startDomain(uuid());
      for (let time = 0; time < 2; time += 1) {
        await recover(entries, true);
        assert.deepEqual([names(), fixture.images.calls], [[made], []]);
      }
    });

    it('the checkpoint is deleted by libvirt if the domain runs by then', async () => {
      const since = await backUp();
      const entries = await dieAt('before libvirt is told', since);
      await fixture.libvirt.startDomain(uuid());
      fixture.libvirt.calls.length = 0;
      await recover(entries);
      // Told of the bitmap, so that it can delete it; a bitmap that is not there is refused with 109.
      assert.deepEqual(
        fixture.libvirt.calls.filter((call) => /Checkpoint/.test(call)),
        ['deleteCheckpoint web', 'createCheckpoint web', 'deleteCheckpoint web'],
      );
      fixture.libvirt.fail('createCheckpoint', 109);
      await recover(entries);
      assert.deepEqual(names(), [nameOf(since)]);
    });

    it('nothing is done to a domain that is gone', async () => {
      const entries = await dieAt('while the disks are read', await backUp());
      await fixture.libvirt.undefineDomain(uuid(), { checkpointsMetadata: true });
      await recover(entries);
      await recover(entries, true);
    });
  });
});
