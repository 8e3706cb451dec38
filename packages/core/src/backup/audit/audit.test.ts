import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { BackupSummary, Manifest, RequestedLevel, WorkEvent } from '../index.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;
/** Six blocks, the last a short one. */
const SIZE = 5 * MiB + 512 * 3;

describe('an audit', function () {
  this.timeout(120_000);
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
    hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(MiB, randomBytes(2 * MiB + 7 * PAGE));
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const audited = (auditShares: number, level: RequestedLevel = 'auto'): Promise<BackupSummary> =>
    fixture.backUp(hypervisor, level, { auditShares });

  const auditOf = ({ disks }: Manifest, at = 0) => disks[at]?.audit;

  const flipSecretly = (at: number): void => {
    disk.secretWrite(at, Buffer.of(255 - (disk.content()[at] ?? 0)));
  };

  for (const shares of [1, 2, 3, 4, 5]) {
    it(`in ${shares} shares finds what change tracking missed in ${shares} runs at most, wherever it is`, async () => {
      await fixture.backUp(hypervisor);
      const places = fc.oneof(
        fc.constantFrom(0, MiB - 1, MiB, SIZE - 1, 4 * MiB),
        fc.integer({ min: 0, max: SIZE - 1 }),
      );
      await fc.assert(
        fc.asyncProperty(places, async (at) => {
          flipSecretly(at);
          for (let run = 1; ; run += 1) {
            const { manifest, warnings } = await audited(shares);
            if (manifest.level === 'inc') {
              assert.ok(run < shares, `byte ${at} after ${run} runs`);
              continue;
            }
            const [{ reason, detail, level, method } = assert.fail()] = manifest.disks;
            assert.deepEqual([level, reason, method], ['full', 'tracking-missed-changes', 'all']);
            const [, from, to] =
              /^bytes (\d+) to (\d+) are unchanged to fake, but/.exec(detail ?? '') ?? assert.fail(detail);
            assert.ok(Number(from) <= at && at <= Number(to), `${at}: ${detail}`);
            assert.ok(warnings.some(({ code }) => code === 'VB_TRACKING_MISSED_CHANGES'));
            assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
            break;
          }
        }),
        { numRuns: 8 },
      );
      assert.equal(hypervisor.openReaders, 0);
      assert.deepEqual(await fixture.damage(), []);
    });
  }

  const round = fc.record({
    writes: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        length: fc.integer({ min: 1, max: 700 * KiB }),
        byte: fc.constantFrom(0, 0, 1, 2),
      }),
      { maxLength: 4 },
    ),
    growth: fc.constantFrom(0, 0, 0, 512, 100 * KiB + 512, 2 * MiB),
    level: fc.constantFrom<RequestedLevel[]>('auto', 'auto', 'diff'),
    unit: fc.constantFrom(null, 4 * KiB, 100 * KiB),
    shares: fc.constantFrom(1, 1, 2, 3),
  });

  it('never accuses a hypervisor that told the truth', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 5 }), async (rounds) => {
        await using own = await RepositoryFixture.create();
        const truthful = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
        truthful.guestWrite(MiB, randomBytes(3 * MiB));
        const host = new FakeHypervisor([truthful]);
        await own.backUp(host);
        for (const { writes, growth, level, unit, shares } of rounds) {
          if (growth > 0) truthful.resize(truthful.size + growth);
          for (const { at, length, byte } of writes) {
            const offset = Math.floor(at * truthful.size);
            truthful.guestWrite(offset, Buffer.alloc(Math.min(length, truthful.size - offset), byte));
          }
          const content = truthful.content();
          host.allocation = unit === null ? undefined : (range) => allocationOf(content, { ...range, unit });
          const { manifest, warnings } = await own.backUp(host, level, { auditShares: shares });
          assert.equal(manifest.level, level === 'auto' ? 'inc' : 'diff');
          assert.deepEqual(warnings, []);
          const [{ audit, readLength } = assert.fail()] = manifest.disks;
          assert.equal(audit?.shares, shares);
          // What is not changed is audited as a whole by one share of one; the rest is read by the copy, in whole pages.
          if (shares === 1 && unit === null) assert.ok(Math.abs(audit.length + readLength - truthful.size) < PAGE);
          assert.ok((await own.imageOf(manifest)).equals(content));
        }
      }),
      { numRuns: 15 },
    );
  });

  it('takes another share each run, in turn, whatever runs and chains come between', async () => {
    const told: (string | undefined)[] = [];
    const run = async (level: RequestedLevel, shares: number | undefined): Promise<void> => {
      const { manifest } = await fixture.backUp(hypervisor, level, { auditShares: shares });
      const audit = auditOf(manifest);
      told.push(audit && `${audit.share}/${audit.shares} ${audit.length / KiB}`);
    };
    await run('auto', 3);
    for (const shares of [3, 3, undefined, 2, 3]) await run('auto', shares);
    await run('diff', 3);
    await run('full', 3);
    await run('auto', 3);
    await run('auto', 2);
    const whole = [undefined, '0/3 2048', '1/3 2048', undefined, '0/2 3072', '2/3 1025.5', '0/3 2048'];
    assert.deepEqual(told, [...whole, undefined, '1/3 2048', '1/2 2049.5']);
  });

  it('reads nothing that the copy reads, and of the rest only what is allocated', async () => {
    await fixture.backUp(hypervisor);
    disk.guestWrite(MiB + 100, randomBytes(10));
    const content = disk.content();
    hypervisor.allocation = (range) => allocationOf(content, { ...range, unit: PAGE });
    let reads = 0;
    hypervisor.onStep = (step) => {
      if (step === 'read') reads += 1;
    };
    const { manifest } = await audited(1);
    assert.deepEqual(auditOf(manifest), { shares: 1, share: 0, length: SIZE - PAGE });
    // Requests of 256 KiB: two ranges of 15 pages and a MiB and seven pages, the rest is a hole; and the copy's one.
    assert.equal(reads, 4 + 4 + 2 + 1);
    assert.equal(manifest.disks[0]?.readLength, PAGE);
  });

  it('finds data that was written over zeros, and zeros over data, by the allocation alone', async () => {
    for (const [at, bytes] of [
      [4 * MiB + 5, Buffer.of(1)],
      [2 * MiB, Buffer.alloc(MiB)],
    ] as const) {
      await fixture.backUp(hypervisor, 'full');
      disk.secretWrite(at, bytes);
      const content = disk.content();
      hypervisor.allocation = (range) => allocationOf(content, { ...range, unit: PAGE });
      const { manifest } = await audited(1);
      assert.equal(manifest.reason, 'tracking-missed-changes');
      assert.match(manifest.disks[0]?.detail ?? '', new RegExp(`^bytes ${Math.floor(at / PAGE) * PAGE} to `));
    }
  });

  it('makes the whole guest a full, in a new chain, that increments stand on', async () => {
    const other = new FakeDisk({ id: 'disk-2', name: 'xvdb', size: MiB });
    hypervisor = new FakeHypervisor([other, disk]);
    const { manifest: first } = await fixture.backUp(hypervisor);
    flipSecretly(4 * MiB);
    const events: WorkEvent[] = [];
    const { manifest } = await fixture.backUp(hypervisor, 'auto', {
      auditShares: 1,
      onEvent: (event) => void (event.type !== 'progress' && events.push(event)),
    });
    assert.deepEqual(
      manifest.disks.map(({ reason, audit }) => [reason, audit]),
      [
        ['other-disk', undefined],
        ['tracking-missed-changes', undefined],
      ],
    );
    assert.notEqual(manifest.chain, first.chain);
    assert.deepEqual(
      events.map((event) => ('disk' in event ? `${event.type} ${event.disk}` : event.type)),
      [
        'start',
        'audit-start xvdb',
        'audit-done xvdb',
        'audit-start xvda',
        'audit-done xvda',
        'warning xvda',
        'disk-start xvdb',
        'disk-done xvdb',
        'disk-start xvda',
        'disk-done xvda',
      ],
    );
    const found = events.flatMap((event) => (event.type === 'audit-done' ? [event.difference] : []));
    assert.deepEqual(found, [null, { offset: 4 * MiB, length: PAGE }]);
    const { manifest: next } = await audited(1);
    assert.deepEqual([next.level, next.parent], ['inc', manifest.id]);
  });

  it('does not look at a disk that is new, nor at fulls', async () => {
    assert.equal(auditOf((await audited(1, 'full')).manifest), undefined);
    hypervisor.disks.push(new FakeDisk({ id: 'disk-2', name: 'xvdb', size: MiB }));
    const { manifest } = await audited(1);
    assert.deepEqual(
      manifest.disks.map(({ level, audit }) => [level, audit?.length]),
      [
        ['inc', SIZE],
        ['full', undefined],
      ],
    );
    assert.equal(auditOf((await audited(1, 'copy')).manifest), undefined);
  });

  it('has nothing to compare where everything is compared anyway', async () => {
    hypervisor.tracking = 'none';
    await fixture.backUp(hypervisor);
    const { manifest } = await audited(1);
    assert.deepEqual(auditOf(manifest), { shares: 1, share: 0, length: 0 });
  });

  for (const level of ['inc', 'diff'] as const) {
    it(`refuses ${level} where it finds a difference, and leaves nothing`, async () => {
      await fixture.backUp(hypervisor);
      flipSecretly(4 * MiB);
      const before = await fixture.everything();
      await assert.rejects(audited(1, level), {
        code: 'VB_CHAIN_BROKEN',
        message: /disk xvda: tracking-missed-changes \(bytes 4194304 to 4259839 are unchanged to fake, but differ/,
        cure: /full/,
      });
      assert.deepEqual(await fixture.everything(), before);
      assert.deepEqual([hypervisor.openReaders, hypervisor.snapshots.size, hypervisor.checkpoints.size], [0, 0, 1]);
    });
  }

  it('that meets a damaged frame finds the chain damaged', async () => {
    const { manifest: full } = await fixture.backUp(hypervisor, 'full', { compression: 'none' });
    const path = join(fixture.repository.location, full.chain, full.disks[0]?.file ?? '');
    const stream = await readFile(path);
    const at = stream.indexOf(disk.content().subarray(2 * MiB, 2 * MiB + 64));
    stream.writeUInt8(255 - stream.readUInt8(at), at);
    await writeFile(path, stream);
    assert.equal((await audited(1)).manifest.level, 'inc');
    // A frame that is overlaid in part cannot be compared by its digest.
    disk.guestWrite(2 * MiB + 3 * PAGE, randomBytes(10));
    await fixture.backUp(hypervisor);
    await assert.rejects(audited(1, 'inc'), { code: 'VB_CHAIN_BROKEN', message: /chain-damaged \(.*digest differs/ });
    const { manifest, warnings } = await audited(1);
    assert.deepEqual([manifest.level, manifest.reason], ['full', 'chain-damaged']);
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['VB_CHAIN_ABANDONED'],
    );
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
  });

  for (const way of ['fault', 'abort'] as const) {
    it(`that is stopped by ${way === 'fault' ? 'a device that cannot be read' : 'its signal'} leaves nothing`, async () => {
      await fixture.backUp(hypervisor);
      const before = await fixture.everything();
      const stop = new AbortController();
      hypervisor.onStep = (step) => {
        if (step !== 'read') return;
        if (way === 'fault') throw new Error('stopped');
        stop.abort(new Error('stopped'));
      };
      const run = fixture.backUp(hypervisor, 'auto', { auditShares: 1, signal: stop.signal });
      await assert.rejects(run, /stopped/);
      assert.deepEqual(await fixture.everything(), before);
      assert.deepEqual([hypervisor.openReaders, hypervisor.snapshots.size], [0, 0]);
    });
  }
});

function* allocationOf(
  content: Buffer,
  { offset: from, length: size, unit }: { readonly offset: number; readonly length: number; readonly unit: number },
) {
  for (let offset = from; offset < from + size; ) {
    const end = Math.min(from + size, (Math.floor(offset / unit) + 1) * unit);
    const zero = content.subarray(offset, end).every((byte) => byte === 0);
    yield { offset, length: end - offset, kind: zero ? ('zero' as const) : ('data' as const) };
    offset = end;
  }
}
