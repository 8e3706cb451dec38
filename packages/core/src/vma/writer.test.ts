import assert from 'node:assert/strict';
import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import type { ErrorCode } from '../errors/index.js';
import { decodeArchive } from '../testing/vma-archive.js';
import { archiveOf, FailingSink, LateSink, newArchive } from '../testing/vma-sink.js';
import type { VmaSink } from './extent-output.js';
import { VMA_CLUSTER_LENGTH as CLUSTER } from './words.js';
import { type VmaDeviceWriter, VmaWriter } from './writer.js';

const SIZE = 3 * CLUSTER + 8192;
const PATTERN = Uint8Array.from({ length: 255 }, (_, index) => 1 + index);
const data = (length: number): Buffer => Buffer.alloc(length, PATTERN);

const REFUSED: readonly [why: string, work: (device: VmaDeviceWriter) => Promise<void>][] = [
  ['bytes behind the end', (device) => device.write(SIZE - 1, data(2))],
  ['zeros behind the end', (device) => device.zero(SIZE, 1)],
  ['bytes in front of the beginning', (device) => device.write(-1, data(2))],
  ['bytes at no whole offset', (device) => device.write(0.5, data(2))],
  ['a cluster twice', (device) => twice(device, 0, CLUSTER)],
  ['a byte twice, while the cluster is incomplete', (device) => twice(device, 5, 1)],
  ['a byte twice, when the cluster is complete', (device) => twice(device, 3 * CLUSTER, 8192)],
  [
    'a part of a cluster that came whole',
    async (device) => {
      await device.zero(CLUSTER, CLUSTER);
      await device.write(CLUSTER + 7, data(1));
    },
  ],
  [
    'a whole cluster of which a part came',
    async (device) => {
      await device.write(CLUSTER + 7, data(1));
      await device.write(CLUSTER, data(CLUSTER));
    },
  ],
  [
    'anything after the device is finished',
    async (device) => {
      await device.finish();
      await device.write(0, data(1));
    },
  ],
];

async function twice(device: VmaDeviceWriter, offset: number, length: number): Promise<void> {
  await device.write(offset, data(length));
  await device.write(offset, data(length));
}

const refused = async (work: () => Promise<unknown>, code: ErrorCode): Promise<void> => {
  await assert.rejects(work, { code });
};

describe('VmaWriter', () => {
  for (const [why, work] of REFUSED) {
    it(`refuses ${why}, and completes nothing after it`, async () => {
      const writer = await VmaWriter.open(newArchive({ devices: [{ name: 'd', size: SIZE }] }), new LateSink());
      await refused(() => work(writer.device('d')), 'VB_VMA_WRITE');
      await refused(() => writer.close(), 'VB_VMA_WRITE');
    });
  }

  it('knows no device but those of the header, and nothing after its end', async () => {
    const devices = [{ name: 'd', size: SIZE }];
    const writer = await VmaWriter.open(newArchive({ devices }), new LateSink());
    devices.push({ name: 'late', size: SIZE });
    assert.throws(() => writer.device('late'), { code: 'VB_VMA_WRITE' });
    assert.deepEqual(
      writer.devices.map(({ name, size }) => ({ name, size })),
      [{ name: 'd', size: SIZE }],
    );
    await writer.close();
    await refused(() => writer.device('d').write(0, data(1)), 'VB_VMA_WRITE');
    await refused(() => writer.close(), 'VB_VMA_WRITE');
  });

  it('takes pieces in any order as long as few clusters are incomplete', async () => {
    const content = data(2 * CLUSTER);
    const backwards = await archiveOf({ size: content.length }, async (device) => {
      for (let at = content.length - 1024; at >= 0; at -= 1024) await device.write(at, content.subarray(at, at + 1024));
    });
    assert.ok(decodeArchive(backwards).image(1).equals(content));
    const scattered = archiveOf(
      { size: 10 * CLUSTER },
      async (device) => {
        for (let index = 0; index < 10; index += 1) await device.write(index * CLUSTER, data(1));
      },
      { pendingClusters: 4 },
    );
    await refused(() => scattered, 'VB_VMA_WRITE');
  });

  it('puts 58 clusters into an extent, as Proxmox does, and the rest into the last', async () => {
    const clusters = async (count: number): Promise<readonly number[]> => {
      const bytes = await archiveOf({ size: count * CLUSTER }, (device) => device.write(0, data(count * CLUSTER)));
      return decodeArchive(bytes).extents.map((extent) => extent.clusters);
    };
    assert.deepEqual(await clusters(57), [57]);
    assert.deepEqual(await clusters(58), [58]);
    assert.deepEqual(await clusters(59), [58, 1]);
    assert.deepEqual(await clusters(150), [58, 58, 34]);
  });

  it('says what it wrote', async () => {
    const sink = new LateSink();
    const devices = [
      { name: 'odd', size: 2 * CLUSTER + 1000 },
      { name: 'vmstate', size: 3 * CLUSTER },
    ];
    const writer = await VmaWriter.open(newArchive({ devices }), sink);
    await writer.device('odd').write(CLUSTER - 4096, data(4096 + 4096));
    await writer.device('vmstate').zero(0, CLUSTER);
    await writer.device('vmstate').write(CLUSTER, data(10));
    const written = await writer.close();
    assert.deepEqual(written, {
      length: sink.bytes().length,
      extentCount: 1,
      devices: [
        {
          device: { id: 1, name: 'odd', size: 2 * CLUSTER + 1024 },
          length: 2 * CLUSTER + 1000,
          full: 0,
          partial: 2,
          zero: 1,
          dataLength: 8192,
          storedLength: 8192,
        },
        {
          device: { id: 2, name: 'vmstate', size: 3 * CLUSTER },
          length: CLUSTER + 10,
          full: 2,
          partial: 0,
          zero: 0,
          dataLength: 10,
          storedLength: 2 * CLUSTER,
        },
      ],
    });
  });

  it('stores every block of vmstate, zero or not, and pads its last cluster', async () => {
    const content = Buffer.concat([data(100), Buffer.alloc(CLUSTER), data(5000)]);
    const bytes = await archiveOf({ name: 'vmstate', size: 512 }, async (device) => {
      await device.write(0, content.subarray(0, 100));
      await device.zero(100, CLUSTER);
      await device.write(100 + CLUSTER, content.subarray(100 + CLUSTER));
    });
    const { clusters } = decodeArchive(bytes);
    assert.deepEqual(clusters, { full: 2, partial: 0, zero: 0 });
    const stored = bytes.subarray(-2 * CLUSTER);
    assert.deepEqual(stored.subarray(0, content.length), content);
    assert.ok(stored.subarray(content.length).every((byte) => byte === 0));
  });

  it('takes vmstate in its order only', async () => {
    const write = (offset: number): Promise<Buffer> =>
      archiveOf({ name: 'vmstate', size: SIZE }, (device) => device.write(offset, data(1)));
    await refused(() => write(1), 'VB_VMA_WRITE');
    await refused(() => write(CLUSTER), 'VB_VMA_WRITE');
  });

  it('gives the same bytes for the same content in the same order, however it is cut', async () => {
    const content = data(3 * CLUSTER + 512).fill(0, 5000, 90_000);
    const inPieces = (length: number): Promise<Buffer> =>
      archiveOf({ size: content.length }, async (device) => {
        for (let at = 0; at < content.length; at += length) await device.write(at, content.subarray(at, at + length));
      });
    const whole = await inPieces(content.length);
    for (const length of [511, 4096, 65_536, 100_000]) assert.deepEqual(await inPieces(length), whole);
  });

  it('ends with the error of its sink, also when that comes while the caller is elsewhere', async () => {
    const error = new Error('no space');
    for (const count of [2, 3]) {
      const devices = [{ name: 'd', size: 200 * CLUSTER }];
      const writer = await VmaWriter.open(newArchive({ devices }), new FailingSink(count, error));
      const piece = data(CLUSTER);
      const fill = async (): Promise<void> => {
        for (let index = 0; index < 200; index += 1) await writer.device('d').write(index * CLUSTER, piece);
      };
      await assert.rejects(fill, error);
      await assert.rejects(() => writer.close(), error);
    }
    await assert.rejects(() => VmaWriter.open(newArchive({}), new FailingSink(1, error)), error);
  });

  it('stops when it is told to, and never completes what was aborted', async () => {
    const stop = new AbortController();
    const devices = [{ name: 'd', size: SIZE }];
    const writer = await VmaWriter.open(newArchive({ devices }), new LateSink(), { signal: stop.signal });
    stop.abort();
    await assert.rejects(() => writer.device('d').write(0, data(1)), { name: 'AbortError' });
    await assert.rejects(() => writer.close(), { name: 'AbortError' });
    const other = await VmaWriter.open(newArchive({ devices }), new LateSink());
    const reason = new Error('the copy failed');
    other.abort(reason);
    await assert.rejects(() => other.close(), reason);
  });

  it('finishes a device once, and takes nothing behind it, also when nobody waits for the call before', async () => {
    const sink = new LateSink();
    const devices = [{ name: 'd', size: 70 * CLUSTER }];
    const writer = await VmaWriter.open(newArchive({ devices }), sink);
    const device = writer.device('d');
    const [first, second] = await Promise.all([device.finish(), device.finish()]);
    assert.deepEqual(first, second);
    await writer.close();
    assert.deepEqual(decodeArchive(sink.bytes()).clusters, { full: 0, partial: 0, zero: 70 });

    const other = await VmaWriter.open(newArchive({ devices }), new LateSink());
    const finished = other.device('d').finish();
    await refused(() => other.device('d').write(0, data(CLUSTER)), 'VB_VMA_WRITE');
    await finished;
    await refused(() => other.close(), 'VB_VMA_WRITE');
  });

  it('stops in the middle of a call, however many clusters it has to write', async function () {
    this.timeout(20_000);
    const devices = [{ name: 'd', size: 2 ** 48 }];
    const stop = new AbortController();
    const writer = await VmaWriter.open(
      newArchive({ devices }),
      endingAfter(3, () => stop.abort()),
      {
        signal: stop.signal,
      },
    );
    await assert.rejects(() => writer.close(), { name: 'AbortError' });
    const reason = new Error('the copy failed');
    const other = await VmaWriter.open(
      newArchive({ devices }),
      endingAfter(3, () => other.abort(reason)),
    );
    await assert.rejects(() => other.device('d').zero(0, 2 ** 48), reason);
    await assert.rejects(() => other.close(), reason);
  });
});

/** Forgets what it is given, calls `act` with one write and takes some more. */
function endingAfter(count: number, act: () => void): VmaSink {
  let written = 0;
  return {
    write: async () => {
      await turnOfEventLoop();
      written += 1;
      if (written === count) act();
      assert.ok(written < count + 5, 'writes go on');
    },
  };
}
