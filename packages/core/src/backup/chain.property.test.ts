import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../testing/index.js';
import type { BackupLevel } from './index.js';

const KiB = 1024;
const SIZE = 3 * 1024 * KiB + 512;

interface Write {
  readonly offset: number;
  readonly length: number;
  readonly byte: number;
}

const write = fc.record({
  offset: fc.nat(SIZE - 1),
  length: fc.integer({ min: 1, max: 600 * KiB }),
  byte: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(255) }),
});

const round = fc.record({
  writes: fc.array(write, { maxLength: 4 }),
  level: fc.constantFrom('auto', 'auto', 'auto', 'diff', 'copy', 'full'),
  compression: fc.constantFrom('lz4', 'none'),
  /** The nth step at which the run fails; beyond all steps it does not. */
  failAt: fc.oneof(fc.constant(1000), fc.nat(24)),
  mapped: fc.boolean(),
});

describe('a chain, whatever the guest writes and whatever fails', function () {
  this.timeout(120_000);

  it('restores every backup to the bytes of its moment', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 6 }), async (rounds) => {
        await using fixture = await RepositoryFixture.create();
        const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
        const hypervisor = new FakeHypervisor([disk]);
        const expected = new Map<string, Buffer>();
        for (const { writes, level, compression, failAt, mapped } of rounds) {
          for (const one of writes) guestWrite(disk, one);
          const content = disk.content();
          hypervisor.allocation = mapped ? (range) => allocationOf(content, range) : undefined;
          let steps = 0;
          hypervisor.onStep = () => {
            steps += 1;
            if (steps === failAt) throw new Error('fault');
          };
          const before = await ids(fixture);
          const failed = await fixture
            .backUp(hypervisor, needsBase(level, before) ? 'auto' : level, { compression })
            .then(
              () => false,
              () => true,
            );
          const made = (await ids(fixture)).filter((id) => !before.includes(id));
          assert.equal(made.length, failed ? 0 : 1);
          for (const id of made) expected.set(id, content);
        }
        for (const manifest of (await fixture.repository.catalogue()).backups) {
          assert.ok(expected.get(manifest.id)?.equals(await fixture.imageOf(manifest)), manifest.id);
        }
        assert.deepEqual(await fixture.damage(), []);
        assert.equal(hypervisor.openReaders, 0);
      }),
      { numRuns: 12 },
    );
  });
});

function guestWrite(disk: FakeDisk, { offset, length, byte }: Write): void {
  disk.guestWrite(offset, Buffer.alloc(Math.min(length, SIZE - offset), byte));
}

const ids = async (fixture: RepositoryFixture): Promise<readonly string[]> =>
  (await fixture.repository.catalogue()).backups.map(({ id }) => id);

/** A differential needs something to stand on. */
const needsBase = (level: 'auto' | BackupLevel, known: readonly string[]): boolean =>
  level === 'diff' && known.length === 0;

/** In units of 4 KiB, as fine as servers say it. */
function* allocationOf(content: Buffer, range: { readonly offset: number; readonly length: number }) {
  const unit = 4 * KiB;
  for (let offset = range.offset; offset < range.offset + range.length; offset += unit) {
    const length = Math.min(unit, range.offset + range.length - offset);
    const zero = content.subarray(offset, offset + length).every((byte) => byte === 0);
    yield { offset, length, kind: zero ? ('zero' as const) : ('data' as const) };
  }
}
