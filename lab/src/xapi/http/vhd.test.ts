import assert from 'node:assert/strict';
import { BlockMap } from '../model/block-map.js';
import { VHD_BLOCK_LENGTH, vhdOf } from './vhd.js';

const UUID = '0b6f1a39-3a1e-4c50-9a46-07d4f2b7a3a1';

describe('vhdOf', () => {
  it('tells in its first piece which blocks were ever written', () => {
    const content = new BlockMap(4 * VHD_BLOCK_LENGTH);
    content.write(VHD_BLOCK_LENGTH, Buffer.from('x'));
    content.zero(3 * VHD_BLOCK_LENGTH, VHD_BLOCK_LENGTH);
    const [head] = vhdOf(content, UUID);
    assert.ok(head !== undefined);
    assert.equal(head.toString('latin1', 0, 8), 'conectix');
    assert.equal(head.toString('latin1', 512, 520), 'cxsparse');
    assert.equal(head.readUInt32BE(512 + 28), 4);
    const table = Number(head.readBigUInt64BE(512 + 16));
    assert.deepEqual(
      [0, 1, 2, 3].map((entry) => head.readUInt32BE(table + entry * 4)),
      [0xffff_ffff, 4, 0xffff_ffff, 4 + 1 + VHD_BLOCK_LENGTH / 512],
    );
  });

  it('has checksums that make every byte count', () => {
    const [head] = vhdOf(new BlockMap(VHD_BLOCK_LENGTH), UUID);
    assert.ok(head !== undefined);
    for (const [offset, length, at] of [
      [0, 512, 64],
      [512, 1024, 36],
    ] as const) {
      const structure: Buffer = Buffer.from(head.subarray(offset, offset + length));
      const stored = structure.readUInt32BE(at);
      structure.writeUInt32BE(0, at);
      assert.equal(stored, 0xffff_ffff - structure.reduce((sum, byte) => sum + byte, 0));
    }
  });
});
