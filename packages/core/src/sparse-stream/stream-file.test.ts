import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { Extent } from '../extent/index.js';
import { readSparseStream } from './file.js';
import { SparseStreamFile } from './stream-file.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures/sparse-stream/', import.meta.url));
const FILES = ['A', 'B', 'D'].flatMap((set) =>
  readdirSync(`${FIXTURES}${set}`)
    .filter((name) => name.endsWith('.data'))
    .map((name) => `${set}/${name}`),
);

/** Content of the disk as the streaming decoder gives it; 0xee where the file says nothing, or zero. */
async function imageOf(path: string): Promise<Buffer> {
  let image = Buffer.alloc(0);
  for await (const event of readSparseStream(path)) {
    if (event.type === 'meta') image = Buffer.alloc(event.meta.virtualSize, 0xee);
    if (event.type === 'data') event.bytes.copy(image, event.offset);
  }
  return image;
}

async function readRange(file: SparseStreamFile, range: Extent): Promise<Buffer> {
  const target = Buffer.alloc(range.length, 0xee);
  let end = range.offset;
  for await (const { offset, bytes } of file.read(range)) {
    assert.ok(offset >= end && offset + bytes.length <= range.offset + range.length, `${offset} + ${bytes.length}`);
    bytes.copy(target, offset - range.offset);
    end = offset + bytes.length;
  }
  return target;
}

describe('SparseStreamFile', () => {
  for (const name of FILES) {
    it(`finds the frames of ${name} that the streaming decoder finds`, async () => {
      const expected: object[] = [];
      for await (const event of readSparseStream(FIXTURES + name)) {
        if (event.type !== 'frame' && event.type !== 'zero') continue;
        const { offset, length, fileOffset } = event;
        const storedLength = event.type === 'frame' ? event.storedLength : 0;
        const kind = event.type === 'frame' ? 'data' : 'zero';
        expected.push({ kind, offset, length, fileOffset, payloadOffset: fileOffset + 40, storedLength });
      }
      await using file = await SparseStreamFile.open(FIXTURES + name);
      assert.deepEqual([...file.index.frames()], expected);
    });
  }

  for (const name of ['A/vda.full.data', 'A/vda.inc.virtnbdbackup.2.data', 'B/vda.inc.virtnbdbackup.1.data']) {
    it(`reads any range of ${name}`, async () => {
      const image = await imageOf(FIXTURES + name);
      await using file = await SparseStreamFile.open(FIXTURES + name);
      const data = [...file.index.frames()].filter(({ kind }) => kind === 'data');
      const near = fc.constantFrom(...data).chain(({ offset, length }) =>
        fc.record({
          offset: fc.integer({ min: Math.max(0, offset - 100_000), max: offset + length - 1 }),
          length: fc.integer({ min: 1, max: 300_000 }),
        }),
      );
      await fc.assert(
        fc.asyncProperty(near, async ({ offset, length }) => {
          const range = { offset, length: Math.min(length, image.length - offset) };
          assert.ok((await readRange(file, range)).equals(image.subarray(offset, offset + range.length)));
        }),
        { numRuns: 25 },
      );
    });
  }

  it('refuses a file that is not there, and one that is not a SparseStream', async () => {
    await assert.rejects(SparseStreamFile.open(`${FIXTURES}none`), { code: 'VB_IO' });
    await assert.rejects(SparseStreamFile.open(`${FIXTURES}manifest.json`), { code: 'VB_SPARSE_HEADER', offset: 0 });
  });
});
