import assert from 'node:assert/strict';
import { ProtocolError } from '../errors/index.js';
import { type DecodedArchive, decodeArchive } from '../testing/vma-archive.js';
import { loadVmaFixture } from '../testing/vma-fixture.js';
import { extentOffsets, sealExtent, sealHeader } from '../testing/vma-mutation.js';
import type { VmaWarningCode } from './archive.js';
import { encodeExtentHeader } from './extent-encode.js';
import { encodeHeader } from './header-encode.js';
import { blockCountOf } from './mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_MAX_HEADER_LENGTH } from './words.js';

/** One device of 70 clusters; extents at 12,800 (59 clusters, 3 blocks) and 25,600 (11 clusters, 1 block). */
const BASE = loadVmaFixture('20-corrupt-base.vma');
const FIRST = 12_800;
const SECOND = 25_600;
const DEVICE = 4096 + 32;

type Mutate = (bytes: Buffer) => Buffer;

/** Writes into the header and makes its checksum right. */
const header =
  (write: (bytes: Buffer) => void): Mutate =>
  (bytes) => {
    write(bytes);
    return sealHeader(bytes);
  };
/** Writes into the header of an extent and makes its checksum right. */
const extent =
  (start: number, write: (bytes: Buffer) => void): Mutate =>
  (bytes) => {
    write(bytes.subarray(start));
    return sealExtent(bytes, start);
  };
const u32 =
  (at: number, value: number) =>
  (bytes: Buffer): void =>
    void bytes.writeUInt32BE(value, at);
const cutAt =
  (length: number): Mutate =>
  (bytes) =>
    bytes.subarray(0, length);
const slotAt = (index: number): number => 40 + 8 * index;

interface Row {
  readonly name: string;
  readonly mutate: Mutate;
  /** Code and byte, or the warnings of what is read all the same. */
  readonly fault: string | readonly VmaWarningCode[];
}

const ROWS: readonly Row[] = [
  { name: 'nothing changed', mutate: (bytes) => bytes, fault: [] },
  { name: 'one byte', mutate: cutAt(1), fault: 'TRUNCATED_HEADER 1' },
  { name: 'one byte of something else', mutate: () => Buffer.from('x'), fault: 'BAD_MAGIC 0' },
  { name: 'a short text', mutate: () => Buffer.from('no archive'), fault: 'BAD_MAGIC 0' },
  { name: 'cut in the fixed header', mutate: cutAt(12_000), fault: 'TRUNCATED_HEADER 12000' },
  { name: 'cut in the blobs', mutate: cutAt(12_799), fault: 'TRUNCATED_HEADER 12799' },
  { name: 'another magic with a right checksum', mutate: header(u32(0, 0x564d4101)), fault: 'BAD_MAGIC 0' },
  { name: 'version 0', mutate: header(u32(4, 0)), fault: 'BAD_VERSION 4' },
  {
    name: 'a flipped version without a checksum',
    mutate: (bytes) => (u32(4, 2)(bytes), bytes),
    fault: 'HEADER_MD5 32',
  },
  {
    name: 'a header of 64 MiB and a byte',
    mutate: (b) => (u32(56, VMA_MAX_HEADER_LENGTH + 1)(b), b),
    fault: 'BAD_HEADER_SIZE 56',
  },
  {
    name: 'a header of 64 MiB that is not there',
    mutate: (b) => (u32(56, VMA_MAX_HEADER_LENGTH)(b), b),
    fault: 'TRUNCATED_HEADER 30208',
  },
  { name: 'blobs inside of the fixed header', mutate: header(u32(48, 12_287)), fault: 'BAD_BLOB_BUFFER 48' },
  {
    name: 'blobs that wrap around 32 bits',
    mutate: header((b) => (u32(48, 2 ** 32 - 1)(b), u32(52, 12_289)(b))),
    fault: 'BAD_BLOB_BUFFER 52',
  },
  { name: 'blobs one byte longer than the header', mutate: header(u32(52, 513)), fault: 'BAD_BLOB_BUFFER 52' },
  { name: 'blobs as long as the header', mutate: header(u32(52, 512)), fault: [] },
  { name: 'no blobs', mutate: header(u32(52, 0)), fault: 'BAD_CONFIG_POINTER 2044' },
  { name: 'a name inside of a blob', mutate: header(u32(2044, 2)), fault: 'BAD_CONFIG_POINTER 2044' },
  {
    name: 'a configuration at the end of all numbers',
    mutate: header(u32(3068, 2 ** 32 - 1)),
    fault: 'BAD_CONFIG_POINTER 3068',
  },
  { name: 'a configuration without content', mutate: header(u32(3068, 0)), fault: ['CONFIG_EMPTY'] },
  {
    name: 'a configuration in the last slot',
    mutate: header((b) => (u32(2044 + 4 * 255, 1)(b), u32(3068 + 4 * 255, 1)(b))),
    fault: ['DUPLICATE_NAME'],
  },
  { name: 'a device without a name', mutate: header(u32(DEVICE, 0)), fault: `BAD_DEVICE_POINTER ${DEVICE}` },
  {
    name: 'a name without its zero',
    mutate: header((b) => b.writeUInt8(1, 12_288 + b.readUInt32BE(DEVICE) + 2 + 11)),
    fault: `BAD_DEVICE_POINTER ${DEVICE}`,
  },
  { name: 'a device beyond 256 TiB', mutate: header(u32(DEVICE + 8, 2 ** 16 + 1)), fault: `LIMIT ${DEVICE + 8}` },
  {
    name: 'a device at the end of all numbers',
    mutate: header((b) => b.fill(0xff, DEVICE + 8, DEVICE + 16)),
    fault: `LIMIT ${DEVICE + 8}`,
  },
  {
    name: 'a device of 256 TiB that is not there',
    mutate: header((b) => (u32(DEVICE + 8, 2 ** 16)(b), u32(DEVICE + 12, 0)(b))),
    fault: 'MISSING_CLUSTER 30208',
  },
  {
    name: 'a device with a name and no size',
    mutate: header((b) => u32(DEVICE + 32, b.readUInt32BE(DEVICE))(b)),
    fault: ['DEVICE_EMPTY'],
  },
  { name: 'reserved bytes', mutate: header(u32(60, 1)), fault: ['RESERVED'] },
  { name: 'the hole of the structure', mutate: header(u32(4092, 1)), fault: ['RESERVED'] },
  { name: 'slot 0 of the devices', mutate: header(u32(4096, 1)), fault: ['RESERVED'] },
  { name: 'the reserved end of a device', mutate: header(u32(DEVICE + 28, 1)), fault: ['RESERVED'] },
  { name: 'a time that no calendar has', mutate: header((b) => b.fill(0x7f, 24, 32)), fault: ['CTIME'] },
  { name: 'a time before 1970', mutate: header((b) => b.fill(0xff, 24, 32)), fault: [] },
  {
    name: 'a name of a device with a line end',
    mutate: header((b) => b.writeUInt8(10, 12_288 + b.readUInt32BE(DEVICE) + 2)),
    fault: ['UNSAFE_NAME'],
  },
  {
    name: 'a name that is not UTF-8',
    mutate: header((b) => b.writeUInt8(0xff, 12_288 + b.readUInt32BE(DEVICE) + 2)),
    fault: ['UNSAFE_NAME'],
  },
  {
    name: 'a name with a zero in it',
    mutate: header((b) => b.writeUInt8(0, 12_288 + b.readUInt32BE(DEVICE) + 4)),
    fault: ['UNSAFE_NAME'],
  },
  { name: 'no extent', mutate: cutAt(FIRST), fault: 'MISSING_CLUSTER 12800' },
  { name: 'one byte of an extent', mutate: cutAt(FIRST + 1), fault: 'TRUNCATED_EXTENT 12801' },
  { name: 'cut in the blocks', mutate: cutAt(SECOND + 600), fault: 'TRUNCATED_EXTENT 26200' },
  { name: 'one byte behind the end', mutate: (b) => Buffer.concat([b, Buffer.alloc(1)]), fault: 'TRAILING_DATA 30208' },
  {
    name: '511 bytes behind the end',
    mutate: (b) => Buffer.concat([b, Buffer.alloc(511)]),
    fault: 'TRAILING_DATA 30208',
  },
  { name: 'an archive behind the archive', mutate: (b) => Buffer.concat([b, b]), fault: 'EXTENT_MAGIC 30208' },
  {
    name: 'an extent twice',
    mutate: (b) => Buffer.concat([b, b.subarray(SECOND)]),
    fault: `DUPLICATE_CLUSTER ${30_208 + 40}`,
  },
  {
    name: 'a byte lost in the blocks',
    mutate: (b) => Buffer.concat([b.subarray(0, 20_000), b.subarray(20_001)]),
    fault: `EXTENT_MAGIC ${SECOND}`,
  },
  {
    name: 'a flipped byte of an extent',
    mutate: (b) => (b.writeUInt8(1, FIRST + 42), b),
    fault: `EXTENT_MD5 ${FIRST}`,
  },
  { name: 'another uuid', mutate: extent(SECOND, (b) => b.fill(7, 8, 24)), fault: `EXTENT_UUID ${SECOND}` },
  {
    name: 'reserved bytes of an extent',
    mutate: extent(SECOND, (b) => b.writeUInt16BE(1, 4)),
    fault: `EXTENT_MAGIC ${SECOND}`,
  },
  { name: 'a block fewer', mutate: extent(FIRST, (b) => b.writeUInt16BE(2, 6)), fault: `BLOCK_COUNT ${FIRST}` },
  { name: 'a block more', mutate: extent(FIRST, (b) => b.writeUInt16BE(4, 6)), fault: `BLOCK_COUNT ${FIRST}` },
  { name: 'the reserved byte of a slot', mutate: extent(FIRST, (b) => b.writeUInt8(1, slotAt(3) + 2)), fault: [] },
  {
    name: 'a cluster twice in an extent',
    mutate: extent(SECOND, (b) => b.copyWithin(slotAt(10), slotAt(9), slotAt(10))),
    fault: `DUPLICATE_CLUSTER ${SECOND + slotAt(10)}`,
  },
  {
    name: 'a slot unused',
    mutate: extent(SECOND, (b) => b.writeUInt8(0, slotAt(10) + 3)),
    fault: 'MISSING_CLUSTER 30208',
  },
  {
    name: 'a cluster of device 0x10',
    mutate: extent(SECOND, (b) => b.writeUInt8(16, slotAt(10) + 3)),
    fault: `UNKNOWN_DEVICE ${SECOND + slotAt(10)}`,
  },
  {
    name: 'a zero cluster just behind the end',
    mutate: extent(SECOND, (b) => b.writeUInt32BE(70, slotAt(10) + 4)),
    fault: `CLUSTER_RANGE ${SECOND + slotAt(10)}`,
  },
];

function outcome(act: () => DecodedArchive): string | readonly VmaWarningCode[] {
  try {
    return act().warnings;
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
    return `${error.code.replace('VB_VMA_', '')} ${error.offset}`;
  }
}

describe('a damaged VMA archive', () => {
  for (const { name, mutate, fault } of ROWS) {
    it(`${name}: ${typeof fault === 'string' ? fault : `read, ${fault.join() || 'no warning'}`}`, () => {
      const bytes = mutate(Buffer.from(BASE));
      assert.deepEqual(
        outcome(() => decodeArchive(bytes)),
        fault,
      );
      assert.deepEqual(
        outcome(() => decodeArchive(bytes, { lengths: [997] })),
        fault,
        'in pieces',
      );
      assert.deepEqual(
        outcome(() => decodeArchive(bytes, { headersOnly: true })),
        fault,
        'by its headers',
      );
    });
  }

  it('names device and clusters that are missing', () => {
    const bytes = extent(SECOND, (part) => {
      for (const index of [2, 3, 7]) part.writeUInt8(0, slotAt(index) + 3);
    })(Buffer.from(BASE));
    assert.throws(
      () => decodeArchive(bytes),
      /device 1 \("drive-scsi0"\) lacks 3 clusters: 61-62, 66 \(at byte 30208\)/,
    );
  });
});

const UUID = Buffer.alloc(16, 5);
/** An archive of one device, with the clusters that are given, all in one extent. */
function craft(
  device: { readonly name: string; readonly size: number },
  clusters: readonly (readonly [number, number])[],
): Buffer {
  const slots = clusters.map(([clusterIndex, mask]) => ({
    deviceId: 1,
    clusterIndex,
    mask,
    blockCount: blockCountOf(mask),
  }));
  const blocks = slots.reduce((sum, { blockCount }) => sum + blockCount, 0);
  const archive = encodeHeader({ uuid: UUID, ctime: 0, configs: [], devices: [device] });
  return Buffer.concat([archive, encodeExtentHeader(UUID, slots), Buffer.alloc(blocks * VMA_BLOCK_LENGTH, 0x5a)]);
}

describe('the end of a device in a VMA archive', () => {
  const device = { name: 'disk', size: 65_536 + 5 * 4096 + 512 };

  it('is inside of the last block that may be stored', () => {
    const { warnings, facts } = decodeArchive(
      craft(device, [
        [0, 0],
        [1, 0b11_1111],
      ]),
    );
    assert.deepEqual(warnings, ['BEHIND_END']);
    assert.equal(facts[0]?.storedLength, 6 * 4096);
  });

  it('a block behind it is refused', () => {
    const fault = `BLOCK_RANGE ${12_800 + slotAt(1)}`;
    assert.equal(
      outcome(() =>
        decodeArchive(
          craft(device, [
            [0, 0],
            [1, 0b111_1111],
          ]),
        ),
      ),
      fault,
    );
    assert.equal(
      outcome(() =>
        decodeArchive(
          craft(device, [
            [0, 0],
            [1, 0xfffe],
          ]),
        ),
      ),
      fault,
    );
  });

  it('a full cluster over it is cut, as Proxmox does for the classic writer', () => {
    const found = decodeArchive(
      craft(device, [
        [0, 0xffff],
        [1, 0xffff],
      ]),
    );
    assert.deepEqual(found.warnings, ['BEHIND_END']);
    assert.ok(found.image(1).every((byte) => byte === 0x5a));
    assert.equal(found.image(1).length, device.size);
  });
});

describe('vmstate in a VMA archive', () => {
  const memory = { name: 'vmstate', size: 65_536 };

  it('may be longer or shorter than it says, and has zeros where nothing is stored', () => {
    const { facts } = decodeArchive(
      craft(memory, [
        [0, 1],
        [1, 0],
        [2, 0xffff],
      ]),
    );
    assert.equal(facts[0]?.clusterCount, 3);
    assert.equal(decodeArchive(craft(memory, [])).facts[0]?.clusterCount, 0);
  });

  it('must begin with its first cluster, and go on in order', () => {
    const at = (slot: number): string => `VMSTATE_ORDER ${12_800 + slotAt(slot)}`;
    assert.equal(
      outcome(() => decodeArchive(craft(memory, [[1, 0]]))),
      at(0),
    );
    assert.equal(
      outcome(() =>
        decodeArchive(
          craft(memory, [
            [0, 0],
            [2, 0],
            [1, 0],
          ]),
        ),
      ),
      at(1),
    );
    assert.equal(
      outcome(() =>
        decodeArchive(
          craft(memory, [
            [0, 0],
            [0, 0],
          ]),
        ),
      ),
      at(1),
    );
    const { damages } = decodeArchive(
      craft(memory, [
        [0, 0],
        [2, 0],
        [3, 0],
      ]),
      { salvage: true },
    );
    assert.deepEqual(
      damages.map(({ code, clusters }) => ({ code, clusters })),
      [
        { code: 'VB_VMA_VMSTATE_ORDER', clusters: { first: 2, end: 3 } },
        { code: 'VB_VMA_MISSING_CLUSTER', clusters: { first: 1, end: 3 } },
      ],
      'what follows is in order again',
    );
  });

  it('has as many clusters as were kept, wherever a slot points: back, at one that was there, or to the end', () => {
    const factsOf = (...indexes: readonly number[]): unknown => {
      const slots = indexes.map((index) => [index, 0] as const);
      const { facts, damages } = decodeArchive(craft(memory, slots), { salvage: true });
      assert.ok(damages.every(({ code }) => code === 'VB_VMA_VMSTATE_ORDER' || code === 'VB_VMA_MISSING_CLUSTER'));
      return facts.map(({ clusterCount, zero }) => [clusterCount, zero])[0];
    };
    assert.deepEqual(factsOf(0, 1, 2, 0), [3, 3]);
    assert.deepEqual(factsOf(0, 1, 2, 0, 1, 2, 3), [4, 4]);
    assert.deepEqual(factsOf(0, 2 ** 32 - 1), [1, 1]);
    assert.deepEqual(factsOf(0, 2 ** 32 - 1, 1, 2), [3, 3]);
    assert.deepEqual(factsOf(0, 2, 3), [4, 2]);
  });
});

describe('salvaging a VMA archive', () => {
  const damagesOf = (bytes: Buffer, lengths: readonly number[]): unknown[] =>
    decodeArchive(bytes, { salvage: true, lengths }).damages.map(({ code, offset, length, clusters }) => [
      code.replace('VB_VMA_', ''),
      offset,
      length,
      clusters?.first,
      clusters?.end,
    ]);
  const lost = [
    ['EXTENT_MD5', FIRST, SECOND - FIRST, undefined, undefined],
    ['MISSING_CLUSTER', BASE.length, undefined, 0, 59],
  ];

  it('goes on with the next extent that has magic, uuid and checksum, wherever bytes are cut', () => {
    const bytes = Buffer.from(BASE);
    bytes.writeUInt8(99, FIRST + 100);
    for (const piece of [1, 511, 512, 513, 4096, bytes.length])
      assert.deepEqual(damagesOf(bytes, [piece]), lost, `${piece}`);
  });

  it('is not taken in by magics in the data', () => {
    const bytes = Buffer.from(BASE);
    bytes.writeUInt8(99, FIRST + 100);
    bytes.fill('VMAE', FIRST + 512, SECOND - 3);
    bytes.copy(bytes, FIRST + 5000, SECOND, SECOND + 24);
    assert.deepEqual(damagesOf(bytes, [bytes.length]), lost);
    assert.deepEqual(damagesOf(bytes, [700]), lost);
  });

  it('finds an extent that moved, and keeps every cluster that can be had', () => {
    const whole = decodeArchive(BASE).image(1);
    const bytes = Buffer.concat([BASE.subarray(0, SECOND), Buffer.from('garbage'), BASE.subarray(SECOND)]);
    const found = decodeArchive(bytes, { salvage: true });
    assert.deepEqual(
      found.damages.map(({ code, offset, length }) => ({ code, offset, length })),
      [{ code: 'VB_VMA_EXTENT_MAGIC', offset: SECOND, length: 7 }],
    );
    assert.ok(found.image(1).equals(whole));
  });

  it('keeps the other clusters of an extent with a bad one', () => {
    const bytes = extent(SECOND, (part) => part.writeUInt8(9, slotAt(4) + 3))(Buffer.from(BASE));
    assert.deepEqual(damagesOf(bytes, [bytes.length]), [
      ['UNKNOWN_DEVICE', SECOND + slotAt(4), undefined, undefined, undefined],
      ['MISSING_CLUSTER', bytes.length, undefined, 63, 64],
    ]);
    assert.deepEqual(extentOffsets(BASE), [FIRST, SECOND]);
  });

  it('ends with a header that is not right', () => {
    const bytes = Buffer.from(BASE);
    bytes.writeUInt8(1, 60);
    assert.throws(() => decodeArchive(bytes, { salvage: true }), { code: 'VB_VMA_HEADER_MD5' });
  });
});
