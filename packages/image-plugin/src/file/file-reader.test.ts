import assert from 'node:assert/strict';
import { FileReader, type ReadableFile } from './file-reader.js';

const SIZE = 10_007;

interface Oddity {
  /** Bytes that one read gives at most. */
  readonly most?: number;
  /** From here on nothing can be read. */
  readonly bad?: number;
  /** Where the file ends by now. */
  readonly end?: number;
}

/** A file in which every byte is its offset modulo 251. */
function oddFile({ most = Infinity, bad = Infinity, end = SIZE }: Oddity): ReadableFile {
  return {
    async read(buffer, offset, length, position) {
      if (position >= bad) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
      const bytesRead = Math.max(0, Math.min(length, most, end - position, bad - position));
      for (let at = 0; at < bytesRead; at += 1) buffer[offset + at] = (position + at) % 251;
      return { bytesRead };
    },
  };
}

const readerOf = (oddity: Oddity): FileReader => new FileReader({ path: '/a.raw', file: oddFile(oddity), size: SIZE });

describe('FileReader', () => {
  it('fills the whole target, however little one read gives', async () => {
    await using reader = readerOf({ most: 13 });
    const bytes = Buffer.alloc(1000);
    await reader.read(9007, bytes);
    assert.ok(bytes.every((byte, at) => byte === (9007 + at) % 251));
  });

  const faults: readonly (readonly [string, Oddity, string, RegExp])[] = [
    ['a byte that cannot be read', { bad: 5003 }, 'VB_IO', /cannot read \d+ bytes at 5003 of \/a\.raw: EIO/],
    ['a file that was cut', { end: 6001 }, 'VB_FILE_CHANGED', /\/a\.raw ends at byte 6001 and had 10007 bytes/],
  ];
  for (const [what, oddity, code, message] of faults) {
    it(`names the offset of ${what}`, async () => {
      await using reader = readerOf(oddity);
      await assert.rejects(reader.read(4000, Buffer.alloc(4096)), { code, message });
    });
  }

  it('stops when it is told to', async () => {
    await using reader = readerOf({});
    const signal = AbortSignal.abort(new Error('stop'));
    await assert.rejects(reader.read(0, Buffer.alloc(1), { signal }), /stop/);
  });
});
