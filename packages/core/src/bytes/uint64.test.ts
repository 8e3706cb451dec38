import assert from 'node:assert/strict';
import fc from 'fast-check';
import { readUInt64BE, readUInt64LE, writeUInt64BE, writeUInt64LE } from './uint64.js';

describe('64-bit offsets', () => {
  it('come back as they were written, in both byte orders', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = Buffer.alloc(8);
        writeUInt64BE(bytes, value, 0);
        assert.equal(bytes.readBigUInt64BE(), BigInt(value));
        assert.equal(readUInt64BE(bytes, 0), value);
        writeUInt64LE(bytes, value, 0);
        assert.equal(bytes.readBigUInt64LE(), BigInt(value));
        assert.equal(readUInt64LE(bytes, 0), value);
      }),
    );
  });

  it('are refused beyond 2^53 - 1', () => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(2n ** 53n - 1n);
    assert.equal(readUInt64BE(bytes, 0), Number.MAX_SAFE_INTEGER);
    bytes.writeBigUInt64BE(2n ** 53n);
    assert.throws(() => readUInt64BE(bytes, 0), { code: 'VB_NUMBER_TOO_LARGE' });
    bytes.fill(0xff);
    assert.throws(() => readUInt64LE(bytes, 0), { code: 'VB_NUMBER_TOO_LARGE' });
  });
});
