import assert from 'node:assert/strict';
import { decodeArchive } from '../../testing/vma-archive.js';
import { LateSink, newArchive } from '../../testing/vma-sink.js';
import { VmaWriter } from '../../vma/index.js';
import { VmaImageWriter } from './vma-image-writer.js';

const MiB = 1024 * 1024;
const SIZE = 8 * MiB;

describe('VmaImageWriter', () => {
  it('takes several disks at a time, with several calls under way', async () => {
    const sink = new LateSink();
    const names = ['drive-scsi0', 'drive-scsi1'];
    const archive = await VmaWriter.open(newArchive({ devices: names.map((name) => ({ name, size: SIZE })) }), sink);
    const images = await Promise.all(
      names.map(async (name) => {
        const image = Buffer.alloc(SIZE, name).fill(0, 2 * MiB, 3 * MiB);
        const writer = new VmaImageWriter(archive, name);
        const calls: Promise<void>[] = [];
        for (let at = 0; at < SIZE; at += MiB) {
          const call = at === 2 * MiB ? writer.zero(at, MiB) : writer.data(at, image.subarray(at, at + MiB));
          calls.push(call);
        }
        await Promise.all(calls);
        assert.deepEqual(await writer.finish(), { dataLength: 7 * MiB, storedLength: 7 * MiB });
        return image;
      }),
    );
    await archive.close();
    const found = decodeArchive(sink.bytes());
    for (const [index, image] of images.entries()) assert.ok(found.image(index + 1).equals(image));
  });

  it('leaves no complete archive when one disk is aborted', async () => {
    const archive = await VmaWriter.open(newArchive({ devices: [{ name: 'd', size: SIZE }] }), new LateSink());
    const writer = new VmaImageWriter(archive, 'd');
    await writer.data(0, Buffer.alloc(MiB, 1));
    await writer.abort();
    await assert.rejects(() => archive.close(), { code: 'VB_ABORTED' });
  });

  it('knows no disk that the archive does not name', async () => {
    const archive = await VmaWriter.open(newArchive({}), new LateSink());
    assert.throws(() => new VmaImageWriter(archive, 'd'), { code: 'VB_VMA_WRITE' });
  });
});
