import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { totalLength } from '../extent/index.js';
import { decodeArchive, sha256 } from '../testing/vma-archive.js';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '../testing/vma-fixture.js';
import type { VmaImageReader } from './image-reader.js';
import { openVmaArchive } from './random-access.js';
import { VMA_BLOCK_LENGTH } from './words.js';

async function readImage(image: VmaImageReader, step: number): Promise<Buffer> {
  const bytes = Buffer.alloc(image.size, 0xee);
  for (let at = 0; at < bytes.length; at += step) await image.read(at, bytes.subarray(at, at + step));
  return bytes;
}

describe('a VMA archive that is read at any place', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
  });
  after(async () => rm(folder, { recursive: true, force: true }));

  for (const { file, devices } of vmaFixtures.valid) {
    it(`${file} gives the devices of its manifest, at once and in pieces`, async () => {
      await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`);
      for (const [at, device] of archive.header.devices.entries()) {
        const image = archive.image(device);
        for (const step of [image.size, 37_003]) {
          assert.equal(sha256(await readImage(image, step)), devices[at]?.sha256, `${device.name} by ${step}`);
        }
      }
    });

    it(`${file} says of its devices what they are made of`, async () => {
      const streamed = decodeArchive(loadVmaFixture(file));
      await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`);
      assert.deepEqual(archive.facts, streamed.facts);
      for (const device of archive.header.devices) {
        const image = archive.image(device);
        const content = streamed.image(device.id);
        const extents = [...image.extents()];
        assert.equal(totalLength(extents), image.size);
        let at = 0;
        for (const { offset, length, kind } of extents) {
          assert.equal(offset, at);
          assert.ok(offset % VMA_BLOCK_LENGTH === 0 && kind !== 'hole');
          if (kind === 'zero') assert.ok(content.subarray(offset, offset + length).every((byte) => byte === 0));
          at += length;
        }
        for (const [before, behind] of extents.slice(1).map((extent, index) => [extents[index], extent] as const)) {
          assert.notEqual(before?.kind, behind.kind, 'neighbours are joined');
        }
      }
    });
  }

  it('gives any range, and what it is made of', async () => {
    const file = '13-shuffled-gaps.vma';
    await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`);
    const [device] = archive.header.devices;
    assert.ok(device !== undefined);
    const image = archive.image(device);
    const content = decodeArchive(loadVmaFixture(file)).image(device.id);
    const whole = [...image.extents()];
    const range = fc.tuple(fc.nat(image.size), fc.nat(300_000));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, wanted]) => {
        const length = Math.min(wanted, image.size - offset);
        const target = Buffer.alloc(length, 0xee);
        await image.read(offset, target);
        assert.ok(target.equals(content.subarray(offset, offset + length)));
        const inside = { offset, length };
        const cut = whole.flatMap((extent) => {
          const from = Math.max(extent.offset, offset);
          const end = Math.min(extent.offset + extent.length, offset + length);
          return from < end ? [{ offset: from, length: end - from, kind: extent.kind }] : [];
        });
        assert.deepEqual([...image.extents(inside)], cut);
        const prints = [];
        for await (const print of image.fingerprints(inside)) prints.push(print);
        assert.deepEqual(
          prints,
          cut.map((extent) => ({ ...extent, digest: null })),
        );
      }),
    );
  });

  for (const { file, expect } of vmaFixtures.corrupt) {
    if (!/^[A-Z_]+$/.test(expect) || expect === 'UNSAFE_NAME') continue;
    it(`${file} is not opened: ${expect}`, async () => {
      await assert.rejects(openVmaArchive(`${VMA_FIXTURES}${file}`), { code: `VB_VMA_${expect}` });
    });
  }

  it('salvaged, what is missing is a hole and reads as zeros', async () => {
    const file = 'corrupt/missing-cluster.vma';
    await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`, { salvage: true });
    const [device] = archive.header.devices;
    assert.ok(device !== undefined);
    assert.deepEqual(
      archive.damages.map(({ code, clusters }) => ({ code, clusters })),
      [{ code: 'VB_VMA_MISSING_CLUSTER', clusters: { first: 40, end: 41 } }],
    );
    const image = archive.image(device);
    assert.deepEqual(
      [...image.extents()].filter(({ kind }) => kind === 'hole'),
      [{ offset: 40 * 65536, length: 65536, kind: 'hole' }],
    );
    const base = decodeArchive(loadVmaFixture('20-corrupt-base.vma')).image(1);
    base.fill(0, 40 * 65536, 41 * 65536);
    assert.ok((await readImage(image, image.size)).equals(base));
  });

  it('is refused where it cannot be had: compressed, a folder, nothing, a range outside', async () => {
    await assert.rejects(openVmaArchive(`${VMA_FIXTURES}01-basic.vma.zst`), { code: 'VB_UNSUPPORTED' });
    await assert.rejects(openVmaArchive(VMA_FIXTURES), { code: 'VB_UNSUPPORTED' });
    await assert.rejects(openVmaArchive(`${VMA_FIXTURES}none`), { code: 'VB_IO' });
    await using archive = await openVmaArchive(`${VMA_FIXTURES}01-basic.vma`);
    const [device] = archive.header.devices;
    assert.ok(device !== undefined);
    const image = archive.image(device);
    await assert.rejects(image.read(image.size - 1, Buffer.alloc(2)), { code: 'VB_INVALID_ARGUMENT' });
    await assert.rejects(image.read(0, Buffer.alloc(image.size), { signal: AbortSignal.abort() }), {
      name: 'AbortError',
    });
    assert.throws(() => archive.image({ ...device, id: 2 }), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('says where an archive became shorter after it was opened', async () => {
    const path = join(folder, 'shrinks.vma');
    await writeFile(path, loadVmaFixture('17-seed-literal.vma'));
    await using archive = await openVmaArchive(path);
    await writeFile(path, loadVmaFixture('17-seed-literal.vma').subarray(0, 20_000));
    const [device] = archive.header.devices;
    assert.ok(device !== undefined);
    await assert.rejects(archive.image(device).read(0, Buffer.alloc(device.size)), {
      code: 'VB_VMA_TRUNCATED_EXTENT',
      offset: 20_000,
    });
  });
});
