import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { ZeroDigests } from './zero-digests.js';

const KiB = 1024;

describe('ZeroDigests', () => {
  const digestOf = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

  it('knows zeros of any length, in any order, and nothing else', () => {
    const zeros = new ZeroDigests();
    for (const length of [1024 * KiB, 64 * KiB, 1, 512, 64 * KiB + 512, 192 * KiB, 1024 * KiB]) {
      assert.ok(zeros.matches(length, digestOf(Buffer.alloc(length))), String(length));
      const last = Buffer.alloc(length);
      last.writeUInt8(1, length - 1);
      assert.ok(!zeros.matches(length, digestOf(last)), String(length));
      assert.ok(!zeros.matches(length, digestOf(Buffer.alloc(length + 1))), String(length));
    }
  });
});
