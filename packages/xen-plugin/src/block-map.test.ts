import assert from 'node:assert/strict';
import fc from 'fast-check';
import { allocationOf } from './allocation.js';
import { type BlockMap, parseBlockMap } from './block-map.js';

const MIB = 1024 * 1024;
const BLOCK = 2 * MIB;

interface VhdShape {
  readonly size?: number;
  readonly type?: number;
  readonly entries?: readonly number[];
  readonly entryCount?: number;
  readonly tableOffset?: number;
  readonly blockLength?: number;
}

function seal(bytes: Buffer, at: number): Buffer {
  bytes.writeUInt32BE(0, at);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.writeUInt32BE(0xffffffff - sum, at);
  return bytes;
}

function vhd(shape: VhdShape = {}): Buffer {
  const entries = shape.entries ?? [0xffffffff];
  const footer = Buffer.alloc(512);
  footer.write('conectix', 'latin1');
  footer.writeBigUInt64BE(512n, 16);
  footer.writeBigUInt64BE(BigInt(shape.size ?? entries.length * BLOCK), 48);
  footer.writeUInt32BE(shape.type ?? 3, 60);
  const tableOffset = shape.tableOffset ?? 1536;
  const header = Buffer.alloc(1024);
  header.write('cxsparse', 'latin1');
  header.writeBigUInt64BE(BigInt(tableOffset), 16);
  header.writeUInt32BE(shape.entryCount ?? entries.length, 28);
  header.writeUInt32BE(shape.blockLength ?? BLOCK, 32);
  const table = Buffer.alloc(entries.length * 4);
  entries.forEach((sector, index) => table.writeUInt32BE(sector, index * 4));
  return Buffer.concat([seal(footer, 64), seal(header, 36), Buffer.alloc(Math.max(tableOffset - 1536, 0)), table]);
}

function parse(bytes: Buffer): BlockMap {
  const parser = parseBlockMap();
  let position = 0;
  for (let demand = parser.next(); ; ) {
    if (demand.done === true) return demand.value;
    const length = 'read' in demand.value ? demand.value.read : demand.value.skip;
    assert.ok(position + length <= bytes.length, 'the parser wants more than the stream has');
    demand = parser.next(bytes.subarray(position, position + length));
    position += length;
  }
}

describe('parseBlockMap', () => {
  it('tells the blocks that are stored from those that are not', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }), fc.nat(BLOCK / 512 - 1), (stored, less) => {
        const size = stored.length * BLOCK - less * 512;
        const map = parse(vhd({ size, entries: stored.map((is, index) => (is ? 8 + index * 4097 : 0xffffffff)) }));
        const allocation = [...allocationOf(map, { offset: 0, length: size })];
        stored.forEach((is, block) => {
          const holder = allocation.find(
            ({ offset, length }) => offset <= block * BLOCK && block * BLOCK < offset + length,
          );
          assert.equal(holder?.kind, is ? 'data' : 'hole');
        });
        assert.equal(
          allocation.reduce((sum, { length }) => sum + length, 0),
          size,
        );
      }),
    );
  });

  it('passes over what lies between the header and the table', () => {
    assert.deepEqual(parse(vhd({ tableOffset: 4096, entries: [9, 0xffffffff] })).allocated, [
      { offset: 0, length: BLOCK },
    ]);
  });

  const broken = Buffer.from(vhd());
  broken.writeUInt8(0x55, 100);
  const faults: readonly (readonly [string, Buffer])[] = [
    ['an HTTP error in the place of the VHD', Buffer.from('HTTP/1.1 500 Internal Server Error'.padEnd(4096))],
    ['a file of another format', Buffer.alloc(4096)],
    ['a fixed VHD', vhd({ type: 2 })],
    ['a differencing VHD', vhd({ type: 4 })],
    ['a wrong checksum', broken],
    ['a table before its header', vhd({ tableOffset: 512 })],
    ['a table far away', vhd({ tableOffset: 17 * MIB })],
    ['a table without an end', vhd({ entryCount: 0xffffffff })],
    ['a block length of zero', vhd({ blockLength: 0 })],
  ];
  for (const [name, bytes] of faults) {
    it(`refuses ${name}`, () => {
      assert.throws(() => parse(bytes), { code: 'VB_XEN_VHD' });
    });
  }
});
