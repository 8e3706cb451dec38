import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProtocolError } from '../errors/index.js';
import { requireTools } from '../testing/tools.js';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '../testing/vma-fixture.js';
import type { VmaDevice } from './archive.js';
import { fileChunks } from './archive-file.js';
import type { ContentCheck } from './content-order.js';
import { DamageList, damageError } from './damage.js';
import { type VerifySource, verifyArchive } from './verify.js';

const fileOf = (file: string): VerifySource => ({ path: `${VMA_FIXTURES}${file}` });
const streamOf = (file: string): VerifySource => ({ stream: fileChunks(`${VMA_FIXTURES}${file}`) });
const WAYS = [fileOf, streamOf];
/** The only fixture whose devices come out of order. */
const UNORDERED = '13-shuffled-gaps.vma';

/** The first fault of an archive, thrown or reported. */
async function firstFault(source: VerifySource, mode: 'headers' | 'all'): Promise<string> {
  try {
    const { damages } = await verifyArchive(source, { mode });
    return damages[0]?.code ?? 'none';
  } catch (error) {
    assert.ok(error instanceof ProtocolError);
    return error.code;
  }
}

describe('verifyArchive', () => {
  for (const fixture of vmaFixtures.valid) {
    it(`${fixture.file} is right, and has the facts and digests of its manifest`, async () => {
      for (const way of WAYS) {
        const report = await verifyArchive(way(fixture.file), { mode: 'all', hash: true });
        assert.deepEqual([report.damages, report.damageCount], [[], 0]);
        const ordered = fixture.file !== UNORDERED;
        assert.deepEqual(
          report.devices.map(({ sha256, unchecked, missing }) => ({ sha256, unchecked, missing })),
          fixture.devices.map(({ sha256 }) =>
            ordered || way === fileOf
              ? { sha256, unchecked: undefined, missing: 0 }
              : { sha256: undefined, unchecked: 'not-ordered', missing: 0 },
          ),
        );
        if (fixture.extents === undefined) continue;
        assert.equal(report.extents, fixture.extents.length);
        assert.equal(report.clustersPerExtent, Math.max(...fixture.extents.map(({ clusters }) => clusters)));
      }
    });
  }

  for (const { file, expect } of vmaFixtures.corrupt) {
    const found = /^[A-Z_0-9]+$/.test(expect) && expect !== 'UNSAFE_NAME' ? `VB_VMA_${expect}` : 'none';
    it(`${file}: ${found}, from a file and a pipe, by its headers and all of it`, async () => {
      for (const way of WAYS) {
        for (const mode of ['headers', 'all'] as const) assert.equal(await firstFault(way(file), mode), found);
      }
    });
  }

  for (const { file, of } of vmaFixtures.compressed) {
    it(`${file} has the digests of what it was`, async () => {
      const report = await verifyArchive(fileOf(file), { mode: 'all', hash: true });
      const digests = vmaFixtures.valid.find((fixture) => fixture.file === of)?.devices.map(({ sha256 }) => sha256);
      assert.deepEqual(
        report.devices.map(({ sha256 }) => sha256),
        digests,
      );
      assert.notEqual(report.compression, 'none');
    });
  }

  it('tells of every missing range, and hashes nothing that is not complete', async () => {
    const report = await verifyArchive(fileOf('corrupt/vmatool-optimize-lost-data.vma'), {
      mode: 'headers',
      hash: true,
    });
    assert.deepEqual(
      report.damages.map(({ code, device, clusters }) => ({ code, id: device?.id, clusters })),
      report.devices
        .filter(({ missing }) => missing > 0)
        .map(({ device, missing }) => ({
          code: 'VB_VMA_MISSING_CLUSTER',
          id: device.id,
          clusters: { first: 0, end: missing },
        })),
    );
    assert.ok(report.damageCount > 0);
    assert.ok(
      report.devices.every(
        ({ missing, unchecked, sha256 }) => missing > 0 === (unchecked === 'incomplete' && sha256 === undefined),
      ),
    );
  });

  it('gives the content of a device to checks, whose damages count', async () => {
    for (const way of WAYS) {
      const checks: Length[] = [];
      const report = await verifyArchive(way('04-tails.vma'), {
        mode: 'headers',
        checks: ({ devices }) => {
          checks.push(...devices.map((device) => new Length(device)));
          return checks;
        },
      });
      assert.deepEqual(
        checks.map(({ length }) => length),
        report.devices.map(({ device }) => device.size),
      );
      assert.equal(report.damageCount, report.devices.length);
    }
  });

  it('stops when it is told to, and tells how far it is', async () => {
    const positions: number[] = [];
    await verifyArchive(fileOf('02-multi-interleaved.vma'), {
      mode: 'headers',
      onProgress: ({ position }) => void positions.push(position),
    });
    assert.deepEqual(positions, [12_800, 107_520, 157_184, 239_616]);
    for (const way of WAYS) {
      const abort = new AbortController();
      const running = verifyArchive(way('17-seed-literal.vma'), {
        mode: 'headers',
        signal: abort.signal,
        onProgress: () => abort.abort(),
      });
      await assert.rejects(running, { name: 'AbortError' });
    }
  });

  it('reads a pipe with a name as what it is, and opens it once: its writer is not cut off', async function () {
    requireTools(this, ['mkfifo']);
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
    const path = join(folder, 'archive.vma');
    execFileSync('mkfifo', [path]);
    const writer = execFile('sh', ['-c', `cat '${VMA_FIXTURES}17-seed-literal.vma' > '${path}'`]);
    const closed = once(writer, 'close');
    try {
      const signal = AbortSignal.timeout(20_000);
      const { damageCount } = await verifyArchive({ path }, { mode: 'all', signal });
      assert.equal(damageCount, 0);
      assert.deepEqual(await closed, [0, null]);
    } finally {
      // Whoever waits for the other end, because the test went wrong, has it.
      await using _end = await open(path, constants.O_RDWR + constants.O_NONBLOCK);
      writer.kill();
      await closed;
      await rm(folder, { recursive: true });
    }
  });

  it('a damage is the error that strict reading throws', async () => {
    const { damages } = await verifyArchive(fileOf('corrupt/dup-cluster.vma'), { mode: 'all' });
    const [damage] = damages;
    assert.ok(damage !== undefined);
    const { code, offset, message } = damageError(damage);
    assert.deepEqual({ code, offset }, { code: 'VB_VMA_DUPLICATE_CLUSTER', offset: 25_728 });
    assert.match(message, /cluster 0 of device 1 \("drive-scsi0"\) occurs twice \(at byte 25728\)/);
    assert.equal(loadVmaFixture('corrupt/dup-cluster.vma').readUInt8(25_728 + 3), 1, 'the offset is that of the slot');
  });
});

/** Counts what it is given, and is never content. */
class Length implements ContentCheck {
  readonly device: VmaDevice;
  length = 0;

  constructor(device: VmaDevice) {
    this.device = device;
  }

  update(bytes: Buffer): void {
    this.length += bytes.length;
  }

  finish(): DamageList {
    const damages = new DamageList();
    damages.add({ code: 'VB_VMA_DIGEST', message: 'never content', offset: 0, device: this.device });
    return damages;
  }
}
