import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrameHeader, FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/frame-header.js';
import { lz4Compressor } from '../../sparse-stream/lz4.js';
import { readStoredFrame } from './stored-frame.js';

const LENGTH = 70_000;
const OFFSET = 65_536;
/** What stands before the frame in its file. */
const BEFORE = 7;

describe('readStoredFrame', () => {
  const content = Buffer.concat([randomBytes(LENGTH / 2), Buffer.alloc(LENGTH / 2, 'again')]);
  const header = encodeFrameHeader({ kind: 'data', start: OFFSET, length: LENGTH });
  const payloads = { lz4: lz4Compressor.compressFrame(content), none: content };
  let folder: string;
  let file: FileHandle;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-test-'));
    file = await open(join(folder, 'stream'), 'w+');
  });
  after(async () => {
    await file.close();
    await rm(folder, { recursive: true });
  });

  const readBack = async (parts: readonly Buffer[], compression: 'lz4' | 'none', storedLength: number) => {
    await file.truncate(0);
    await file.writev([Buffer.alloc(BEFORE), ...parts], 0);
    const output = Buffer.alloc(LENGTH);
    const fileOffset = BEFORE + FRAME_HEADER_LENGTH;
    const compressed = compression === 'lz4';
    readStoredFrame({ file: file.fd, fileOffset, storedLength, offset: OFFSET, compressed }, output);
    return output;
  };

  for (const compression of ['lz4', 'none'] as const) {
    const payload = payloads[compression];

    it(`gives the disk’s bytes (${compression})`, async () => {
      const parts = [header, payload, TERMINATOR, Buffer.from('more')];
      assert.ok((await readBack(parts, compression, payload.length)).equals(content));
    });

    it(`refuses another header, another end, and a file that ends anywhere before (${compression})`, async () => {
      const damaged = (message: string) => ({ code: 'VB_FRAME_DAMAGED', message });
      for (const other of [
        encodeFrameHeader({ kind: 'zero', start: OFFSET, length: LENGTH }),
        encodeFrameHeader({ kind: 'data', start: OFFSET + 1, length: LENGTH }),
        encodeFrameHeader({ kind: 'data', start: OFFSET, length: LENGTH + 1 }),
      ]) {
        const reading = readBack([other, payload, TERMINATOR], compression, payload.length);
        await assert.rejects(reading, damaged('frame header differs from the index'));
      }
      const end = readBack([header, payload, Buffer.from('\n\n')], compression, payload.length);
      await assert.rejects(end, damaged('frame does not end with a line end'));
      const whole = Buffer.concat([header, payload, TERMINATOR]);
      for (const length of [0, 1, FRAME_HEADER_LENGTH, whole.length - 3, whole.length - 1]) {
        const cut = readBack([whole.subarray(0, length)], compression, payload.length);
        await assert.rejects(cut, damaged('the file ends before'), `${length} bytes`);
      }
    });
  }

  it('refuses a payload that is not the disk’s bytes', async () => {
    const short = readBack([header, content.subarray(1), TERMINATOR], 'none', LENGTH - 1);
    await assert.rejects(short, { code: 'VB_FRAME_DAMAGED', message: `payload of ${LENGTH - 1} bytes` });
    const noise = Buffer.alloc(payloads.lz4.length, 'noise');
    await assert.rejects(readBack([header, noise, TERMINATOR], 'lz4', noise.length), { code: 'VB_SPARSE_LZ4' });
  });

  it('says what the system refused', async () => {
    const writing = await open(join(folder, 'write-only'), 'w');
    try {
      const frame = { fileOffset: FRAME_HEADER_LENGTH, storedLength: LENGTH, offset: OFFSET, compressed: false };
      assert.throws(() => readStoredFrame({ ...frame, file: writing.fd }, Buffer.alloc(LENGTH)), { code: 'EBADF' });
    } finally {
      await writing.close();
    }
  });
});
