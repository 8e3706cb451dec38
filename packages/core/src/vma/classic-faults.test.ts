import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeArchive } from '../testing/vma-archive.js';
import { archiveOf, LateSink, newArchive, TEST_CTIME, TEST_UUID } from '../testing/vma-sink.js';
import { openArchiveOutput } from './archive-output.js';
import { newIdentity } from './identity.js';
import { VMA_BLOCK_LENGTH as BLOCK, VMA_CLUSTER_LENGTH as CLUSTER, VMA_FIXED_HEADER_LENGTH } from './words.js';
import { VmaWriter } from './writer.js';

const ones = (length: number): Buffer => Buffer.alloc(length, 1);

async function emptyArchive(parts: Parameters<typeof newArchive>[0]): Promise<Buffer> {
  const sink = new LateSink();
  await (await VmaWriter.open(newArchive(parts), sink)).close();
  return sink.bytes();
}

// specs A.2: what the classic Python writer does wrong. Each number is that of its fault.
describe('the faults of the classic VMA writer', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('1: the content of a configuration is its content, not its name', async () => {
    const content = Buffer.from('<domain/>\n');
    const bytes = await emptyArchive({ configs: [{ name: 'guest.xml', content }] });
    assert.deepEqual(decodeArchive(bytes).header.configs, [{ name: 'guest.xml', content }]);
  });

  it('2: a device written in two halves of a cluster has one cluster, and none behind its end', async () => {
    const bytes = await archiveOf({ size: CLUSTER }, async (device) => {
      await device.write(0, ones(CLUSTER / 2));
      await device.write(CLUSTER / 2, ones(CLUSTER / 2));
    });
    assert.deepEqual(decodeArchive(bytes).clusters, { full: 1, partial: 0, zero: 0 });
    assert.deepEqual(decodeArchive(bytes).warnings, []);
  });

  it('3: the last cluster stores the blocks that begin before the end, and no other', async () => {
    const bytes = await archiveOf({ size: CLUSTER + 3 * BLOCK + 512 }, (device) =>
      device.write(0, ones(CLUSTER + 3 * BLOCK + 512)),
    );
    const found = decodeArchive(bytes);
    assert.deepEqual(found.clusters, { full: 1, partial: 1, zero: 0 });
    assert.equal(found.facts[0]?.storedLength, CLUSTER + 4 * BLOCK);
    assert.ok(bytes.subarray(-BLOCK + 512).every((byte) => byte === 0));
  });

  it('4: zeros cost no bytes, neither a cluster nor a block of them', async () => {
    const content = ones(3 * CLUSTER)
      .fill(0, CLUSTER, 2 * CLUSTER)
      .fill(0, BLOCK, 3 * BLOCK);
    const bytes = await archiveOf({ size: content.length }, (device) => device.write(0, content));
    assert.deepEqual(decodeArchive(bytes).clusters, { full: 1, partial: 1, zero: 1 });
    assert.equal(bytes.length, 12_800 + 512 + 2 * CLUSTER - 2 * BLOCK);
  });

  it('5: bytes at an offset inside of a cluster land there', async () => {
    const bytes = await archiveOf({ size: 3 * CLUSTER }, (device) => device.write(512, ones(CLUSTER)));
    const wanted = Buffer.alloc(3 * CLUSTER).fill(1, 512, 512 + CLUSTER);
    assert.ok(decodeArchive(bytes).image(1).equals(wanted));
  });

  it('6: unaligned writes need no order', async () => {
    const wanted = Buffer.alloc(2 * CLUSTER)
      .fill(1, 10, 20)
      .fill(2, CLUSTER + 5, CLUSTER + 9);
    const bytes = await archiveOf({ size: wanted.length }, async (device) => {
      await device.write(CLUSTER + 5, wanted.subarray(CLUSTER + 5, CLUSTER + 9));
      await device.write(15, wanted.subarray(15, 20));
      await device.write(10, wanted.subarray(10, 15));
    });
    assert.ok(decodeArchive(bytes).image(1).equals(wanted));
  });

  it('7: clusters that were never written are there, as zeros', async () => {
    const bytes = await archiveOf({ size: 100 * CLUSTER }, (device) => device.write(50 * CLUSTER, ones(CLUSTER)));
    assert.deepEqual(decodeArchive(bytes).clusters, { full: 1, partial: 0, zero: 99 });
  });

  it('8: what is out of range, given twice, of no device or empty is refused', async () => {
    const size = 2 * CLUSTER;
    const refused = { code: 'VB_VMA_WRITE' };
    await assert.rejects(() => archiveOf({ size }, (device) => device.write(size, ones(1))), refused);
    const twice = archiveOf({ size }, async (device) => {
      await device.write(0, ones(CLUSTER));
      await device.write(0, ones(CLUSTER));
    });
    await assert.rejects(() => twice, refused);
    const writer = await VmaWriter.open(newArchive({}), new LateSink());
    assert.throws(() => writer.device('drive-scsi0'), refused);
    await assert.rejects(() => archiveOf({ size: 0 }, () => Promise.resolve()), { code: 'VB_VMA_LIMIT' });
  });

  it('9: 256 configurations and 254 devices are read back, more are refused', async () => {
    const configs = Array.from({ length: 257 }, (_, index) => ({ name: `${index}`, content: ones(3) }));
    const devices = Array.from({ length: 255 }, (_, index) => ({ name: `d${index}`, size: 512 }));
    const found = decodeArchive(await emptyArchive({ configs: configs.slice(1), devices: devices.slice(1) }));
    assert.equal(found.header.configs.length, 256);
    assert.deepEqual(found.header.devices.at(-1), { id: 254, name: 'd254', size: 512 });
    for (const parts of [{ configs }, { devices }]) {
      await assert.rejects(() => emptyArchive(parts), { code: 'VB_VMA_LIMIT' });
    }
  });

  it('10: a configuration of 65,536 bytes, and a header of more than 524,288, are refused with what the limit is', async () => {
    const config = (index: number, length: number) => ({ name: `${index}`, content: ones(length) });
    const tooLong = { code: 'VB_VMA_LIMIT', message: /65536 bytes, 65535 is the most/ };
    await assert.rejects(() => emptyArchive({ configs: [config(0, 65_536)] }), tooLong);
    const many = Array.from({ length: 8 }, (_, index) => config(index, 65_535));
    await assert.rejects(() => emptyArchive({ configs: many }), { code: 'VB_VMA_LIMIT', message: /at most 524288/ });
  });

  it('11: what is declared after the header is written is refused, not lost', async () => {
    const devices = [{ name: 'drive-scsi0', size: CLUSTER }];
    const writer = await VmaWriter.open(newArchive({ devices }), new LateSink());
    devices.push({ name: 'drive-scsi1', size: CLUSTER });
    assert.throws(() => writer.device('drive-scsi1'), { code: 'VB_VMA_WRITE' });
  });

  it('12: an archive of nothing is a header and one empty extent', async () => {
    const bytes = await emptyArchive({});
    assert.equal(bytes.length, VMA_FIXED_HEADER_LENGTH + 512 + 512);
    assert.deepEqual(decodeArchive(bytes).extents, [{ offset: 12_800, blockCount: 0, clusters: 0 }]);
  });

  it('13: the time is in seconds since 1970, in every time zone', async () => {
    const zone = process.env['TZ'];
    try {
      for (const TZ of ['America/New_York', 'UTC', 'Asia/Kolkata']) {
        process.env['TZ'] = TZ;
        const now = new Date(1_000 * TEST_CTIME + 999);
        assert.equal(newIdentity({ now }).ctime, TEST_CTIME);
        const { header } = decodeArchive(await emptyArchive(newIdentity({ now })));
        assert.equal(header.ctime, TEST_CTIME);
      }
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  it('14: the header is padded with zeros to 512 bytes', async () => {
    for (const length of [0, 1, 500, 511, 512, 5000]) {
      const bytes = await emptyArchive({ configs: [{ name: 'c', content: ones(length) }] });
      const { header, warnings } = decodeArchive(bytes);
      assert.equal(header.length % 512, 0);
      assert.deepEqual(warnings, []);
      const used = VMA_FIXED_HEADER_LENGTH + bytes.readUInt32BE(52);
      assert.ok(bytes.subarray(used, header.length).every((byte) => byte === 0));
    }
  });

  it('15: bytes are bytes: every value, and names beyond ASCII, come back', async () => {
    const content = Buffer.from(Uint8Array.from({ length: 256 }, (_, index) => index));
    const configs = [{ name: 'gäst.conf', content }];
    const bytes = await archiveOf({ name: 'drive-ü', size: 512 }, (device) => device.write(256, content));
    assert.deepEqual(decodeArchive(bytes).image(1).subarray(256), content);
    assert.equal(decodeArchive(bytes).header.devices[0]?.name, 'drive-ü');
    assert.deepEqual(decodeArchive(await emptyArchive({ configs })).header.configs, configs);
  });

  it('16: a large write is taken as it lies: the sink gets views of it, not copies', async () => {
    const content = ones(58 * CLUSTER);
    const seen: Buffer[] = [];
    const sink = {
      write: (buffers: readonly Buffer[]): Promise<void> => {
        seen.push(...buffers);
        return Promise.resolve();
      },
    };
    const devices = [{ name: 'drive-scsi0', size: content.length }];
    const writer = await VmaWriter.open(newArchive({ devices }), sink);
    await writer.device('drive-scsi0').write(0, content);
    await writer.close();
    // The header of the archive, that of the extent, and all clusters as one piece.
    assert.equal(seen.length, 3);
    assert.equal(seen[2]?.buffer, content.buffer);
    assert.equal(seen[2]?.length, content.length);
  });

  it('17: uuid and time can be given, and a file has its name only when it is complete and durable', async () => {
    assert.deepEqual(newIdentity({ uuid: TEST_UUID, ctime: 5 }), { uuid: TEST_UUID, ctime: 5 });
    assert.notDeepEqual(newIdentity().uuid, newIdentity().uuid);
    const path = join(folder, 'guest.vma');
    {
      await using output = await openArchiveOutput({ path });
      const writer = await VmaWriter.open(newArchive({}), output);
      await writer.close();
      assert.ok(!existsSync(path));
      await output.finish();
    }
    assert.deepEqual(await readdir(folder), ['guest.vma']);
    await rm(path);
    {
      await using output = await openArchiveOutput({ path });
      await VmaWriter.open(newArchive({}), output);
    }
    assert.deepEqual(await readdir(folder), []);
  });
});
