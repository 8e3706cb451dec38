import assert from 'node:assert/strict';
import { digestOf } from '../frame-digest/frame-digest.js';
import { ZeroDigests } from './zero-digests.js';

const KiB = 1024;

describe('ZeroDigests', () => {
  for (const algorithm of ['sha256', 'blake3'] as const) {
    it(`knows zeros of any length by their ${algorithm}, in any order, and nothing else`, () => {
      const zeros = new ZeroDigests(algorithm);
      const other = algorithm === 'sha256' ? 'blake3' : 'sha256';
      for (const length of [1024 * KiB, 64 * KiB, 1, 512, 64 * KiB + 512, 192 * KiB, 1024 * KiB]) {
        assert.ok(zeros.matches(length, digestOf(algorithm, Buffer.alloc(length))), String(length));
        const last = Buffer.alloc(length);
        last.writeUInt8(1, length - 1);
        assert.ok(!zeros.matches(length, digestOf(algorithm, last)), String(length));
        assert.ok(!zeros.matches(length, digestOf(algorithm, Buffer.alloc(length + 1))), String(length));
        assert.ok(!zeros.matches(length, digestOf(other, Buffer.alloc(length))), String(length));
      }
    });
  }
});
