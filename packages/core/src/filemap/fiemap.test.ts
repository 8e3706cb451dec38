import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeFiemap, encodeFiemap, type FiemapExtent, fiemapCapacity } from './fiemap.js';
import { FIEMAP_EXTENT, FIEMAP_FLAG_SYNC, meaningOf } from './fiemap-flags.js';

/** What ext4 answered for 64 KiB in the middle of 1 MiB that is preallocated. */
const EXT4_ANSWER = Buffer.from(
  `0000000000000000 ffffffffffff1f00 01000000 03000000 08000000 00000000
   0000000000000000 000060780b000000 0000040000000000 00000000000000000000000000000000 00080000 000000000000000000000000
   0000040000000000 000064780b000000 0000010000000000 00000000000000000000000000000000 00000000 000000000000000000000000
   0000050000000000 000065780b000000 00000b0000000000 00000000000000000000000000000000 01080000 000000000000000000000000`.replaceAll(
    /\s/g,
    '',
  ),
  'hex',
);

function answer(extents: readonly FiemapExtent[], length: number): Buffer {
  const buffer = Buffer.alloc(length);
  buffer.writeUInt32LE(extents.length, 20);
  for (const [index, extent] of extents.entries()) {
    const at = 32 + 56 * index;
    buffer.writeBigUInt64LE(BigInt(extent.offset), at);
    buffer.writeBigUInt64LE(BigInt(extent.physical), at + 8);
    buffer.writeBigUInt64LE(BigInt(extent.length), at + 16);
    buffer.writeUInt32LE(extent.flags, at + 40);
  }
  return buffer;
}

const u53 = fc.nat(Number.MAX_SAFE_INTEGER);
const extent = fc.record(
  { offset: u53, length: u53, physical: u53, flags: fc.nat(0xffffffff) },
  { noNullPrototype: true },
);

describe('struct fiemap', () => {
  it('is asked as the kernel wants it', () => {
    const buffer = Buffer.alloc(32 + 56 * 2 + 5, 0xee);
    encodeFiemap(buffer, { offset: 0x1_0000_0002, length: 2 ** 53 - 1, flags: FIEMAP_FLAG_SYNC });
    const expected = '0200000001000000 ffffffffffff1f00 01000000 00000000 02000000 00000000'.replaceAll(' ', '');
    assert.equal(buffer.toString('hex', 0, 32), expected);
  });

  it('is read as ext4 answered it', () => {
    assert.deepEqual(decodeFiemap(EXT4_ANSWER), [
      { offset: 0, physical: 49264197632, length: 256 * 1024, flags: FIEMAP_EXTENT.unwritten },
      { offset: 256 * 1024, physical: 49264459776, length: 64 * 1024, flags: 0 },
      {
        offset: 320 * 1024,
        physical: 49264525312,
        length: 704 * 1024,
        flags: FIEMAP_EXTENT.unwritten + FIEMAP_EXTENT.last,
      },
    ]);
  });

  it('is refused wherever it is cut', () => {
    for (let length = 0; length < EXT4_ANSWER.length; length++) {
      assert.throws(() => decodeFiemap(EXT4_ANSWER.subarray(0, length)), { code: 'VB_FILE_MAP' }, `${length} bytes`);
    }
  });

  it('comes back as it went, whatever the room behind it', () => {
    fc.assert(
      fc.property(fc.array(extent, { maxLength: 8 }), fc.nat(200), (extents, room) => {
        const buffer = answer(extents, 32 + 56 * extents.length + room);
        assert.deepEqual(decodeFiemap(buffer), extents);
        assert.equal(fiemapCapacity(buffer.length), extents.length + Math.floor(room / 56));
      }),
    );
  });

  it('puts what lies beyond 2^53 behind every file', () => {
    const buffer = answer([{ offset: 0, length: 0, physical: 0, flags: 0 }], 88);
    buffer.fill(0xff, 32, 56);
    const far = Number.MAX_SAFE_INTEGER;
    assert.deepEqual(decodeFiemap(buffer), [{ offset: far, length: far, physical: far, flags: 0 }]);
  });
});

describe('the flags of an extent', () => {
  const { last, unknown, delalloc, encoded, dataInline, unwritten, merged, shared, notAligned, dataTail } =
    FIEMAP_EXTENT;
  const rows: readonly [string, number, object][] = [
    ['none', 0, { kind: 'data', flags: undefined, last: false, placed: true }],
    ['UNWRITTEN', unwritten, { kind: 'zero', flags: { unwritten: true }, last: false, placed: true }],
    ['LAST and MERGED', last + merged, { kind: 'data', flags: undefined, last: true, placed: true }],
    ['SHARED', shared, { kind: 'data', flags: { shared: true }, last: false, placed: true }],
    ['ENCODED', encoded, { kind: 'data', flags: { encoded: true }, last: false, placed: false }],
    ['UNKNOWN', unknown, { kind: 'data', flags: undefined, last: false, placed: false }],
    [
      'INLINE and NOT_ALIGNED',
      dataInline + notAligned,
      { kind: 'data', flags: { inline: true }, last: false, placed: false },
    ],
    ['TAIL', dataTail, { kind: 'data', flags: undefined, last: false, placed: true }],
    [
      'DELALLOC in UNWRITTEN',
      delalloc + unwritten,
      { kind: 'data', flags: { unwritten: true, delalloc: true }, last: false, placed: false },
    ],
    [
      'UNWRITTEN, SHARED, MERGED and LAST',
      unwritten + shared + merged + last,
      { kind: 'zero', flags: { unwritten: true, shared: true }, last: true, placed: true },
    ],
    [
      'UNWRITTEN with UNKNOWN',
      unwritten + unknown,
      { kind: 'data', flags: { unwritten: true }, last: false, placed: false },
    ],
    [
      'UNWRITTEN with ENCODED',
      unwritten + encoded,
      { kind: 'data', flags: { unwritten: true, encoded: true }, last: false, placed: false },
    ],
    [
      'UNWRITTEN with one that no kernel has yet',
      unwritten + 0x4000_0000,
      { kind: 'data', flags: { unwritten: true }, last: false, placed: true },
    ],
    ['one that no kernel has yet', 0x4000_0000, { kind: 'data', flags: undefined, last: false, placed: true }],
  ];
  for (const [name, word, meaning] of rows) {
    it(`${name}: ${JSON.stringify(meaning)}`, () => assert.deepEqual(meaningOf(word), meaning));
  }
});
