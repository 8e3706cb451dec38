import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AllocationExtent } from '../../extent/index.js';
import { FakeReader, MappedFakeReader } from '../../testing/index.js';
import { copyDisk } from './copy-disk.js';
import { plannedData, plannedLength } from './planned-data.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const SIZE = 40 * PAGE + 512;

describe('what a copy plans', () => {
  const dirty = fc
    .array(fc.record({ gap: fc.nat(3 * PAGE), length: fc.integer({ min: 1, max: 4 * PAGE }) }), { maxLength: 10 })
    .map((steps) => {
      let end = 0;
      return steps.flatMap(({ gap, length }) => {
        const offset = end + gap;
        end = Math.min(SIZE, offset + length);
        return end > offset ? [{ offset, length: end - offset }] : [];
      });
    });
  const holes = fc.uniqueArray(fc.nat(40), { maxLength: 20 });

  it('is what it writes, where the server knows every page of zeros', async () => {
    await fc.assert(
      fc.asyncProperty(dirty, holes, fc.boolean(), async (extents, zeroPages, mapped) => {
        const content = Buffer.alloc(SIZE, 7);
        if (mapped) for (const page of zeroPages) content.fill(0, page * PAGE, Math.min(SIZE, (page + 1) * PAGE));
        const allocation = function* ({ offset, length }: { offset: number; length: number }) {
          for (let at = offset; at < offset + length; ) {
            const page = Math.floor(at / PAGE);
            const end = Math.min(offset + length, (page + 1) * PAGE);
            const kind: AllocationExtent['kind'] = zeroPages.includes(page) ? 'zero' : 'data';
            yield { offset: at, length: end - at, kind };
            at = end;
          }
        };
        const reader = mapped ? new MappedFakeReader(content, allocation) : new FakeReader(content);
        const plan = { reader, size: SIZE, extents };
        let [data, zeros, found] = [0, 0, 0];
        const writer = {
          data: async (_offset: number, bytes: Buffer) => void (data += bytes.length),
          zero: async (_offset: number, length: number) => void (zeros += length),
          dataIsLess: () => void (found += 1),
          finish: () => assert.fail(),
          abort: () => assert.fail(),
        };
        await copyDisk({ ...plan, writer });
        assert.equal(found, 0);
        assert.equal(await plannedData(plan), data);
        assert.equal(plannedLength(plan), data + zeros);
      }),
      { numRuns: 40 },
    );
  });

  it('is told to be less before the zeros that were found', async () => {
    const content = Buffer.alloc(SIZE, 7);
    content.fill(0, 3 * PAGE, 4 * PAGE);
    const calls: string[] = [];
    const writer = {
      data: async (offset: number) => void calls.push(`data ${offset / PAGE}`),
      zero: async (offset: number) => void calls.push(`zero ${offset / PAGE}`),
      dataIsLess: () => void calls.push('less'),
      finish: () => assert.fail(),
      abort: () => assert.fail(),
    };
    await copyDisk({ reader: new FakeReader(content), size: SIZE, extents: [{ offset: 0, length: 8 * PAGE }], writer });
    assert.deepEqual(calls, ['data 0', 'less', 'zero 3', 'data 4']);
  });
});
