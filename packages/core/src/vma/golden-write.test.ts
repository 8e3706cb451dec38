import assert from 'node:assert/strict';
import { decodeArchive } from '../testing/vma-archive.js';
import { loadVmaFixture } from '../testing/vma-fixture.js';
import { archiveOf, LateSink } from '../testing/vma-sink.js';
import type { VmaEvent } from './archive.js';
import { VmaDecoder } from './decoder.js';
import { VMA_CLUSTER_LENGTH } from './words.js';
import { VmaWriter } from './writer.js';

/** The archives that Proxmox's own program wrote, but the one with a blank in a device's name. */
const ORIGINALS = [
  '01-basic.vma',
  '02-multi-interleaved.vma',
  '04-tails.vma',
  '05-allzero.vma',
  '06-noconfdev.vma',
  '07-manyconfigs.vma',
];

/** Writes the content of an archive again, cluster by cluster, in the order that it has there. */
async function writtenAgain(golden: Buffer): Promise<Buffer> {
  const found = decodeArchive(golden);
  const sink = new LateSink();
  const writer = await VmaWriter.open(found.header, sink);
  const decoder = new VmaDecoder();
  const events: VmaEvent[] = [...decoder.push(golden), ...decoder.end()];
  for (const event of events) {
    if (event.type !== 'cluster') continue;
    const offset = event.clusterIndex * VMA_CLUSTER_LENGTH;
    const bytes = found.image(event.device.id).subarray(offset, offset + VMA_CLUSTER_LENGTH);
    await writer.device(event.device.name).write(offset, bytes);
  }
  await writer.close();
  return sink.bytes();
}

describe('VmaWriter, compared with Proxmox', () => {
  for (const file of ORIGINALS) {
    it(`writes ${file} to the byte`, async () => {
      const golden = loadVmaFixture(file);
      assert.ok((await writtenAgain(golden)).equals(golden));
    });
  }

  it('writes the all-zero archive to the byte when it is told nothing at all', async () => {
    const golden = loadVmaFixture('05-allzero.vma');
    const { header } = decodeArchive(golden);
    const sink = new LateSink();
    const writer = await VmaWriter.open(header, sink);
    await writer.close();
    assert.ok(sink.bytes().equals(golden));
  });

  it('stores of every golden device what Proxmox stores, also where the order differs', async () => {
    for (const file of ['11-vmatool-packed.vma', '13-shuffled-gaps.vma']) {
      const golden = decodeArchive(loadVmaFixture(file));
      for (const facts of golden.facts) {
        const bytes = await archiveOf(facts.device, (device) => device.write(0, golden.image(facts.device.id)));
        const [ours] = decodeArchive(bytes).facts;
        assert.deepEqual(
          { ...ours, device: null, ordered: null },
          { ...facts, device: null, ordered: null },
          `${file}, device ${facts.device.id}`,
        );
      }
    }
  });
});
