import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { stat, utimes } from 'node:fs/promises';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../testing/index.js';
import type { Manifest, WorkEvent } from './index.js';

const MiB = 1024 * 1024;

describe('a chain of backups', () => {
  let fixture: RepositoryFixture;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  for (const level of ['inc', 'diff'] as const) {
    for (const compression of ['lz4', 'none'] as const) {
      it(`reads back every point in time: full, then ${level}, ${compression}`, async () => {
        const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 5 * MiB + 512 });
        const hypervisor = new FakeHypervisor([disk]);
        disk.guestWrite(MiB + 4096, randomBytes(2 * MiB));
        const expected = new Map<Manifest, Buffer>();
        for (let round = 0; round < 3; round += 1) {
          const content = disk.content();
          const { manifest, warnings } = await fixture.backUp(hypervisor, round === 0 ? 'auto' : level, {
            compression,
          });
          assert.deepEqual(warnings, []);
          expected.set(manifest, content);
          disk.guestWrite(round * 100_000, randomBytes(5000));
          disk.guestWrite(3 * MiB, Buffer.alloc(200_000));
        }
        for (const [manifest, content] of expected) assert.ok(content.equals(await fixture.imageOf(manifest)));
        const { backups, damaged } = await fixture.repository.catalogue();
        assert.deepEqual(damaged, []);
        assert.deepEqual(
          backups.map((manifest) => manifest.level),
          ['full', level, level],
        );
        assert.deepEqual(await fixture.damage(), []);
        assert.equal(hypervisor.openReaders, 0);
        assert.equal(hypervisor.snapshots.size, 0);
      });
    }
  }

  it('copies as many disks at once as it is told, and lists them in order', async () => {
    const disks = [9, 3, 5].map((length, index) => {
      const disk = new FakeDisk({ id: `disk-${index}`, name: `xvd${index}`, size: length * MiB });
      disk.guestWrite(0, randomBytes(length * MiB - 70_000));
      return disk;
    });
    const hypervisor = new FakeHypervisor(disks);
    for (const [concurrency, expected] of [
      [undefined, 1],
      [2, 2],
      [16, 3],
    ] as const) {
      let running = 0;
      let most = 0;
      const onEvent = ({ type }: WorkEvent): void => {
        if (type === 'disk-start') running += 1;
        if (type === 'disk-done') running -= 1;
        most = Math.max(most, running);
      };
      const { manifest } = await fixture.backUp(hypervisor, 'full', { concurrency, onEvent });
      assert.equal(most, expected);
      assert.deepEqual(
        manifest.disks.map(({ name }) => name),
        ['xvd0', 'xvd1', 'xvd2'],
      );
    }
    assert.deepEqual(await fixture.damage(), []);
    assert.equal(hypervisor.openReaders, 0);
  });

  it('tells what it does, in order', async () => {
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 2 * MiB });
    disk.guestWrite(0, randomBytes(MiB));
    const events: WorkEvent[] = [];
    const onEvent = (event: WorkEvent): void => {
      events.push(event);
    };
    const { manifest } = await fixture.backUp(new FakeHypervisor([disk]), 'auto', { onEvent });
    assert.deepEqual(
      events.map(({ type }) => type).filter((type, at, types) => type !== types[at - 1]),
      ['start', 'disk-start', 'progress', 'disk-done'],
    );
    assert.deepEqual(
      events.findLast(({ type }) => type === 'progress'),
      {
        type: 'progress',
        disk: 'xvda',
        done: 2 * MiB,
        planned: 2 * MiB,
      },
    );
    assert.equal(manifest.reason, 'first-backup');
    assert.equal(manifest.disks[0]?.dataLength, MiB);
  });

  it('reads nothing that the server calls zero, and stores dirty zeros of an increment as data', async () => {
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 8 * MiB });
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(MiB, randomBytes(MiB));
    hypervisor.allocation = ({ offset, length }) => {
      const kind = (at: number) => (at === MiB ? 'data' : 'hole');
      const count = Math.ceil(length / MiB);
      return Array.from({ length: count }, (_, unit) => ({
        offset: offset + unit * MiB,
        length: Math.min(MiB, length - unit * MiB),
        kind: kind(offset + unit * MiB),
      }));
    };
    const full = await fixture.backUp(hypervisor);
    assert.equal(full.manifest.disks[0]?.readLength, MiB);
    disk.guestWrite(MiB, Buffer.alloc(MiB));
    hypervisor.allocation = (range) => [{ ...range, kind: 'zero' }];
    const { manifest } = await fixture.backUp(hypervisor);
    assert.equal(manifest.disks[0]?.readLength, 0);
    assert.equal(manifest.disks[0]?.dataLength, MiB);
    assert.ok((await fixture.imageOf(manifest)).equals(Buffer.alloc(8 * MiB)));
  });

  it('grows with the disk', async () => {
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: MiB });
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(0, randomBytes(MiB));
    await fixture.backUp(hypervisor);
    disk.resize(3 * MiB);
    disk.guestWrite(2 * MiB + 100, randomBytes(1000));
    const { manifest } = await fixture.backUp(hypervisor);
    assert.equal(manifest.level, 'inc');
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
  });

  it('keeps file times in the order of the chain', async () => {
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: MiB });
    const hypervisor = new FakeHypervisor([disk]);
    await fixture.backUp(hypervisor);
    const path = `${fixture.repository.location}/${(await fixture.repository.catalogue()).backups[0]?.chain}`;
    const future = Date.now() / 1000 + 5000;
    await utimes(`${path}/xvda.full.data`, future, future);
    await fixture.backUp(hypervisor);
    const times = ['xvda.full.data', 'xvda.inc.virtnbdbackup.1.data'].map(async (name) => stat(`${path}/${name}`));
    const [full, inc] = await Promise.all(times);
    assert.ok(full !== undefined && inc !== undefined && inc.mtimeMs > full.mtimeMs);
  });
});

describe('the level of a backup', () => {
  let fixture: RepositoryFixture;
  let disks: FakeDisk[];
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disks = ['xvda', 'xvdb'].map((name) => new FakeDisk({ id: `id-${name}`, name, size: MiB }));
    hypervisor = new FakeHypervisor(disks);
    for (const disk of disks) disk.guestWrite(0, randomBytes(100_000));
    await fixture.backUp(hypervisor);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const levels = async () => {
    const { manifest } = await fixture.backUp(hypervisor);
    for (const disk of hypervisor.disks) {
      assert.ok((await fixture.imageOf(manifest, disk.name)).equals(disk.content()));
    }
    return [manifest, ...manifest.disks].map(({ level, reason }) =>
      reason === undefined ? level : `${level} ${reason}`,
    );
  };

  it('is incremental while every disk can be', async () => {
    assert.deepEqual(await levels(), ['inc', 'inc', 'inc']);
  });

  it('gives a disk that joins a full of its own in the chain', async () => {
    hypervisor.disks.push(new FakeDisk({ id: 'id-xvdc', name: 'xvdc', size: MiB }));
    assert.deepEqual(await levels(), ['inc', 'inc', 'inc', 'full disk-new']);
    assert.deepEqual(await levels(), ['inc', 'inc', 'inc', 'inc']);
  });

  it('is full for all when one disk shrank', async () => {
    disks[1]?.resize(MiB / 2);
    assert.deepEqual(await levels(), ['full disk-shrunk', 'full other-disk', 'full disk-shrunk']);
  });

  it('is full when the base is gone', async () => {
    hypervisor.forgetAllBut('nothing');
    assert.deepEqual(await levels(), ['full base-missing', 'full base-missing', 'full base-missing']);
    assert.deepEqual(await levels(), ['inc', 'inc', 'inc']);
  });

  it('is full when another disk has taken the name', async () => {
    hypervisor.disks[1] = new FakeDisk({ id: 'id-other', name: 'xvdb', size: MiB });
    assert.deepEqual(await levels(), ['full disk-replaced', 'full other-disk', 'full disk-replaced']);
  });

  it('refuses an increment that must be a full, and changes nothing', async () => {
    const before = await fixture.everything();
    disks[1]?.resize(MiB / 2);
    for (const level of ['inc', 'diff'] as const) {
      await assert.rejects(fixture.backUp(hypervisor, level), {
        code: 'VB_CHAIN_BROKEN',
        message: /xvdb: disk-shrunk/,
      });
    }
    assert.deepEqual(await fixture.everything(), before);
    assert.equal(hypervisor.snapshots.size, 0);
    assert.equal(hypervisor.checkpoints.size, 1);
  });

  it('and its place among the others do not depend on the clock, which stands still or goes back', async () => {
    const { backups } = await fixture.repository.catalogue();
    const made = backups.map(({ id }) => id);
    const noon = Date.UTC(2020, 0, 1, 12);
    for (const [round, level] of (['full', 'auto', 'diff', 'copy', 'auto', 'full', 'auto'] as const).entries()) {
      hypervisor.now = () => new Date(noon - Math.floor(round / 2) * 60_000);
      disks[0]?.guestWrite(round * 1000, randomBytes(1000));
      const { manifest, warnings } = await fixture.backUp(hypervisor, level);
      assert.equal(manifest.level, level === 'auto' ? 'inc' : level);
      assert.deepEqual(warnings, []);
      assert.ok((await fixture.imageOf(manifest)).equals(disks[0]?.content() ?? Buffer.alloc(0)));
      made.push(manifest.id);
    }
    const { backups: all } = await fixture.repository.catalogue();
    assert.deepEqual(
      all.map(({ id }) => id),
      made,
    );
  });

  it('stands on the last increment after a differential and a copy', async () => {
    disks[0]?.guestWrite(0, randomBytes(1000));
    await fixture.backUp(hypervisor, 'diff');
    disks[0]?.guestWrite(200_000, randomBytes(1000));
    await fixture.backUp(hypervisor, 'copy');
    disks[0]?.guestWrite(400_000, randomBytes(1000));
    await fixture.backUp(hypervisor, 'diff');
    const { backups } = await fixture.repository.catalogue();
    assert.deepEqual(await levels(), ['inc', 'inc', 'inc']);
    assert.deepEqual(
      backups.map(({ level, parent }) => [level, parent === backups[0]?.id]),
      [
        ['full', false],
        ['diff', true],
        ['copy', false],
        ['diff', true],
      ],
    );
    assert.deepEqual(await fixture.damage(), []);
  });
});
