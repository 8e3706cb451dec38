import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checkpoint, Snapshot } from '@vbackup/core';
import { checkpointName, makeUlid, newCheckpointXml, parseCheckpointRecord } from '../checkpoint/index.js';
import { libvirtError } from '../connection/index.js';
import { parseJob } from '../job/index.js';
import { Fixture, MemoryJournal, REPOSITORY, type RequestOptions, request } from '../testing/fixture.js';

const MIB = 2 ** 20;

describe('a snapshot of a libvirt domain', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const take = (options: RequestOptions = {}): Promise<Snapshot> =>
    fixture.hypervisor().snapshot(fixture.guest, request(options));
  /** A whole backup. @returns what a later one stands on */
  const backUp = async (options: RequestOptions = {}): Promise<Checkpoint> => {
    await using snapshot = await take(options);
    await snapshot.confirm?.();
    await snapshot.commit();
    return snapshot.checkpoint ?? assert.fail('no checkpoint');
  };
  const names = (): readonly string[] => fixture.domain.checkpoints.map(({ name }) => name);
  const changesOf = (snapshot: Snapshot): unknown =>
    Object.fromEntries(snapshot.disks.map((disk) => [disk.name, disk.changes]));
  const foreign = (name: string, guestId: string): void => {
    const owner = { repositoryId: REPOSITORY, guestId };
    const xml = newCheckpointXml({ name, owner, tracked: ['vda'], untracked: [] });
    fixture.domain.checkpoints.push({ name, parent: null, xml });
  };

  it('reads everything at first, and notes the job before it is begun', async () => {
    const journal = new MemoryJournal();
    fixture.libvirt.fail('beginBackup', new Error('the machine stops here'));
    await assert.rejects(take({ journal }), /the machine stops here/);
    assert.partialDeepStrictEqual(journal.entries, [{ step: 'job', keep: true, owner: { repositoryId: REPOSITORY } }]);
    await using snapshot = await take();
    assert.deepEqual(changesOf(snapshot), { vda: { kind: 'all' }, vdb: { kind: 'all' } });
    assert.deepEqual(
      snapshot.configuration.map(({ name }) => name),
      ['domain.xml', 'libvirt.json', 'checkpoint.xml', 'vda.image.json', 'vdb.image.json'],
    );
  });

  it('asks for the dirty blocks of a qcow2, compares a raw disk, and replaces the checkpoint only at the end', async () => {
    const since = await backUp();
    const [base] = names();
    fixture.exports.dirty.set('vda', [{ offset: 65_536, length: 65_536 }]);
    {
      await using snapshot = await take({ since });
      assert.deepEqual(changesOf(snapshot), {
        vda: {
          kind: 'since',
          method: 'dirty-bitmap',
          extents: [{ offset: 65_536, length: 65_536 }],
          forgetful: { blockLength: 65_536 },
        },
        vdb: { kind: 'compare', method: 'compare', extents: [{ offset: 0, length: MIB }] },
      });
      assert.equal(names().length, 2);
      assert.equal(names()[0], base);
      await snapshot.commit();
    }
    assert.equal(names().length, 1);
    assert.notEqual(names()[0], base);
    assert.equal(fixture.domain.job, null);
  });

  it('takes all that a disk has grown by for dirty', async () => {
    const since = await backUp();
    fixture.exports.sizes.set('vda', 2 * MIB);
    fixture.exports.dirty.set('vda', [{ offset: MIB - 512, length: 1024 }]);
    await using snapshot = await take({ since });
    assert.partialDeepStrictEqual(snapshot.disks[0]?.changes, {
      kind: 'since',
      method: 'dirty-bitmap',
      extents: [{ offset: MIB - 512, length: MIB + 512 }],
    });
  });

  for (const [what, bits, blockLength] of [
    ['2 MiB', 21, 2 * MIB],
    ['512 bytes', 9, 512],
    ['a length that no qcow2 has', 63, 65_536],
  ] as const) {
    it(`says that the bitmap of an image with clusters of ${what} forgets in blocks of ${blockLength} bytes`, async () => {
      const image = join(fixture.folder, 'image.qcow2');
      fixture.domain.xml = fixture.domain.xml.replace('/nowhere/a.qcow2', image);
      const header = Buffer.alloc(104);
      header.write('QFI\xfb', 'latin1');
      header.writeUInt32BE(3, 4);
      header.writeUInt32BE(bits, 20);
      await writeFile(image, header);
      await using snapshot = await take({ since: await backUp() });
      assert.partialDeepStrictEqual(snapshot.disks[0]?.changes, { kind: 'since', forgetful: { blockLength } });
    });
  }

  it('leaves the base where it is for a differential, and makes no checkpoint', async () => {
    const since = await backUp();
    const before = names();
    await using snapshot = await take({ since, keepCheckpoint: false });
    assert.equal(snapshot.checkpoint, null);
    await snapshot.commit();
    assert.deepEqual([names(), fixture.domain.job], [before, null]);
  });

  it('leaves the checkpoints of others alone: another program, another repository, a disk of the same domain', async () => {
    const others = ['virtnbdbackup.0', checkpointName('76543210', makeUlid()), checkpointName(REPOSITORY, makeUlid())];
    for (const name of others) foreign(name, `${fixture.guest.id}:vda`);
    const stale = checkpointName(REPOSITORY, makeUlid());
    foreign(stale, fixture.guest.id);
    const { name } = parseCheckpointRecord(await backUp());
    assert.deepEqual(names(), [...others, name]);
  });

  it('undoes everything if the backup is not committed', async () => {
    await using snapshot = await take();
    assert.equal(names().length, 1);
    await snapshot[Symbol.asyncDispose]();
    assert.deepEqual([names(), fixture.domain.job], [[], null]);
  });

  it('deletes a checkpoint whose bitmaps are broken, and reads everything', async () => {
    const since = await backUp();
    fixture.libvirt.fail('beginBackup', 109);
    fixture.libvirt.fail('deleteCheckpoint', 1);
    await using snapshot = await take({ since });
    assert.partialDeepStrictEqual(snapshot.disks[0]?.changes, { kind: 'all', reason: 'tracking-lost' });
    assert.equal(names().length, 1);
    assert.equal(names().includes(parseCheckpointRecord(since).name ?? ''), false);
  });

  it('tells libvirt again of a checkpoint that it forgot', async () => {
    const since = await backUp();
    const { name } = parseCheckpointRecord(since);
    fixture.domain.checkpoints = [];
    await using snapshot = await take({ since });
    assert.equal(names()[0], name);
    assert.equal(snapshot.disks[0]?.changes.kind, 'since');
  });

  it('reads everything where the bitmaps of a forgotten checkpoint are gone as well', async () => {
    const since = await backUp();
    fixture.domain.checkpoints = [];
    fixture.libvirt.fail('createCheckpoint', 109);
    await using snapshot = await take({ since });
    assert.partialDeepStrictEqual(snapshot.disks[0]?.changes, { kind: 'all', reason: 'base-missing' });
  });

  for (const [what, change, expected] of [
    ['of another domain', { domain: 'x' }, { kind: 'all', reason: 'base-foreign' }],
    ['that did not hold the disk', { disks: [] }, { kind: 'all', reason: 'disk-new' }],
    [
      'in which the disk was larger',
      { disks: [{ target: 'vda', size: 2 * MIB, bitmap: true }] },
      { kind: 'all', reason: 'disk-shrunk' },
    ],
    ['in which the disk had no bitmap', { disks: [{ target: 'vda', size: MIB, bitmap: false }] }, { kind: 'compare' }],
  ] as const) {
    it(`after a backup ${what} says ${JSON.stringify(expected)}`, async () => {
      const since = { ...(await backUp()), ...change };
      await using snapshot = await take({ since });
      assert.partialDeepStrictEqual(snapshot.disks[0]?.changes, expected);
    });
  }

  for (const [version, bitmap] of [
    [2, false],
    [3, true],
  ] as const) {
    it(`makes ${bitmap ? 'a' : 'no'} bitmap in a qcow2 of version ${version}`, async () => {
      const path = join(fixture.folder, 'a.qcow2');
      await writeFile(path, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.from([0, 0, 0, version])]));
      fixture.domain.xml = fixture.domain.xml.replace('/nowhere/a.qcow2', path);
      const record = parseCheckpointRecord(await backUp());
      assert.deepEqual(record.disks, [
        { target: 'vda', size: MIB, bitmap },
        { target: 'vdb', size: MIB, bitmap: false },
      ]);
      assert.equal(names().length, bitmap ? 1 : 0);
    });
  }

  it('refuses a domain that has another job', async () => {
    fixture.domain.job = {
      xml: "<domainbackup><server transport='unix' socket='/tmp/virtnbdbackup.1'/></domainbackup>",
    };
    await assert.rejects(take(), { code: 'VB_LIBVIRT_JOB', message: /virtnbdbackup\.1/ });
    const socket = `/t/${checkpointName(REPOSITORY, makeUlid())}.vda.sock`;
    fixture.domain.job = { xml: `<domainbackup><server transport='unix' socket='${socket}'/></domainbackup>` };
    await assert.rejects(take(), { code: 'VB_LIBVIRT_JOB' });
    assert.equal(fixture.libvirt.calls.filter((call) => call.startsWith('abortJob')).length, 0);
  });

  it('tells the job of another repository, which may be alive, and leaves it alone', async () => {
    const socket = `/t/${checkpointName('fedcba9876543210', makeUlid())}.sock`;
    const job = { xml: `<domainbackup><server transport='unix' socket='${socket}'/></domainbackup>` };
    fixture.domain.job = job;
    await assert.rejects(take(), { code: 'VB_LIBVIRT_JOB', message: /repository fedcba98…$/, cure: /start it again/ });
    assert.equal(fixture.domain.job, job);
  });

  it('waits for a job that just begins to be known', async () => {
    let times = 3;
    fixture.domain.unknownJob = () => {
      times -= 1;
      return times > 0;
    };
    await using snapshot = await take();
    assert.equal(snapshot.disks.length, 2);
  });

  it('says what to do about a job that the daemon lost when it was killed', async () => {
    fixture.domain.unknownJob = () => true;
    await assert.rejects(take(), { code: 'VB_LIBVIRT_JOB_STUCK', cure: /<job>/ });
    assert.deepEqual([fixture.domain.job, names()], [null, []]);
  });

  for (const [message, code, cure] of [
    ["internal error: disk 'vda' has a blockjob assigned", 'VB_LIBVIRT_JOB', /--abort/],
    [
      "unable to execute QEMU command 'nbd-server-start': NBD server already running",
      'VB_LIBVIRT_JOB_STUCK',
      /nbd-server-stop/,
    ],
  ] as const) {
    it(`says what to do about ${JSON.stringify(message)}`, async () => {
      fixture.libvirt.fail('beginBackup', libvirtError('beginBackup', { code: 1, domain: 10, message }));
      await assert.rejects(take(), { code, cure });
      assert.deepEqual([fixture.domain.job, names()], [null, []]);
    });
  }

  it('ends the job of a dead run of its own chain', async () => {
    const socket = `/t/${checkpointName(REPOSITORY, makeUlid())}.sock`;
    fixture.domain.job = { xml: `<domainbackup><server transport='unix' socket='${socket}'/></domainbackup>` };
    await using snapshot = await take();
    assert.equal(snapshot.disks.length, 2);
    assert.notEqual(parseJob(fixture.domain.job.xml).socket, socket);
  });

  it('takes one disk alone, and leaves out what is excluded', async () => {
    const one = await fixture.hypervisor().find('web:vda');
    assert.deepEqual(one, { id: `${fixture.guest.id}:vda`, name: 'web:vda', kind: 'disk' });
    {
      await using snapshot = await fixture.hypervisor().snapshot(one, request());
      assert.deepEqual(
        snapshot.disks.map(({ name }) => name),
        ['vda'],
      );
    }
    const excluding = fixture.hypervisor({ exclude: ['vda', 'vdx'] });
    await using snapshot = await excluding.snapshot(fixture.guest, request());
    assert.deepEqual(
      snapshot.disks.map(({ name }) => name),
      ['vdb'],
    );
    assert.ok(fixture.warnings.some(({ message }) => message.includes('no disk vdx')));
    // No disk can have a bitmap: no checkpoint is made, and a later backup compares.
    assert.deepEqual([names(), parseCheckpointRecord(snapshot.checkpoint ?? {}).name], [[], null]);
  });
});
