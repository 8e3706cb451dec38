import assert from 'node:assert/strict';
import { decodeArchive } from '../../testing/vma-archive.js';
import { loadVmaFixture, VMA_FIXTURES } from '../../testing/vma-fixture.js';
import { openVmaArchive } from '../../vma/index.js';
import type { ImageReader } from '../image.js';

describe('a device of a VMA archive', () => {
  it('is read as a disk of a backup is', async () => {
    const file = '13-shuffled-gaps.vma';
    await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`);
    const [device] = archive.header.devices;
    assert.ok(device !== undefined);
    // The room of the format knows nothing of this one: that the shapes agree is what the compiler holds here.
    await using disk: ImageReader = archive.image(device);
    const bytes = Buffer.alloc(disk.size, 0xee);
    for await (const { offset, length, kind, digest } of disk.fingerprints({ offset: 0, length: disk.size })) {
      assert.equal(digest, null);
      if (kind === 'zero') bytes.fill(0, offset, offset + length);
      else await disk.read(offset, bytes.subarray(offset, offset + length));
    }
    assert.ok(bytes.equals(decodeArchive(loadVmaFixture(file)).image(device.id)));
  });
});
