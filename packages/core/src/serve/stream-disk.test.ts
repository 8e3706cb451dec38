import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DamagedFrameError } from '../backup/image/damaged-frame.js';
import { applyFiles } from '../sparse-stream/index.js';
import { collect } from '../testing/collect.js';
import { pathSource } from './path-source.js';
import { servedCache } from './served-cache.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures/sparse-stream/B/', import.meta.url));
const NAMES = ['vda.full.data', 'vda.inc.virtnbdbackup.1.data'];
const MiB = 1024 * 1024;

/** The bit that is turned lies in the middle of the file: in a frame of the full. */
async function damage(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = 255 - (bytes[middle] ?? 0);
  await writeFile(path, bytes);
}

describe('a stream of virtnbdbackup that is served', () => {
  let folder: string;
  let image: Buffer;
  const options = { onWarning: (): never => assert.fail('there is nothing to warn of') };

  before(async () => {
    image = Buffer.alloc(117_440_512);
    await applyFiles(
      NAMES.map((name) => `${FIXTURES}${name}`),
      {
        write: async (offset, bytes) => void bytes.copy(image, offset),
        zero: async (offset, length) => void image.fill(0, offset, offset + length),
      },
    );
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-streams-'));
    for (const name of NAMES) await copyFile(`${FIXTURES}${name}`, join(folder, name));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is the disk of the whole chain, read in any order, several reads at once', async () => {
    using cache = servedCache(4 * MiB);
    await using source = await pathSource(folder, { ...options, cache });
    const [only, ...others] = source.disks;
    assert.deepEqual([only?.name, others], ['vda', []]);
    await using disk = await only?.open('vda');
    assert.equal(disk?.size, image.length);
    const offsets = [40 * MiB + 17, 0, 39 * MiB, 111 * MiB, 5, 40 * MiB, image.length - 300_000];
    await Promise.all(
      offsets.map(async (offset) => {
        const target = Buffer.alloc(300_000, 0xee);
        await disk?.read(offset, target);
        assert.ok(target.equals(image.subarray(offset, offset + target.length)), `other bytes at ${offset}`);
      }),
    );
    const extents = await collect(disk?.extents({ offset: 0, length: image.length }) ?? []);
    assert.equal(
      extents.reduce((sum, { length }) => sum + length, 0),
      image.length,
    );
    for (const { offset, length, kind } of extents) {
      if (kind !== 'data') assert.ok(image.subarray(offset, offset + length).every((byte) => byte === 0));
    }
  });

  it('fails where a frame is damaged, each time, names the file, and never gives zeros for what comes behind', async () => {
    await damage(join(folder, 'vda.full.data'));
    using cache = servedCache(4 * MiB);
    await using source = await pathSource(join(folder, 'vda.inc.virtnbdbackup.1.data'), { ...options, cache });
    await using disk = await source.disks[0]?.open('vda');
    let failed = 0;
    for (const round of [1, 2]) {
      for (let offset = 0; offset < image.length; offset += MiB) {
        const target = Buffer.alloc(MiB, 0xee);
        try {
          await disk?.read(offset, target);
          assert.ok(target.equals(image.subarray(offset, offset + MiB)), `other bytes at ${offset}, round ${round}`);
        } catch (error) {
          assert.ok(error instanceof DamagedFrameError, String(error));
          assert.match(error.message, /disk vda: .* in .*vda\.full\.data at byte/);
          failed += 1;
        }
      }
    }
    assert.ok(failed > 0 && failed % 2 === 0, `${failed} reads failed`);
    assert.ok(failed < (image.length / MiB) * 2, 'everything failed');
  });
});
