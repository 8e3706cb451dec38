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
        let [data, zeros] = [0, 0];
        const writer = {
          data: async (_offset: number, bytes: Buffer) => void (data += bytes.length),
          zero: async (_offset: number, length: number) => void (zeros += length),
          keepsZeros: () => assert.fail(),
          finish: () => assert.fail(),
          abort: () => assert.fail(),
        };
        await copyDisk({ ...plan, writer });
        assert.equal(await plannedData(plan), data);
        assert.equal(plannedLength(plan), data + zeros);
      }),
      { numRuns: 40 },
    );
  });

  for (const keeps of [false, true]) {
    it(`asks about zeros that it found before it gives them, and gives them as ${keeps ? 'data' : 'zeros'}`, async () => {
      const content = Buffer.alloc(SIZE, 7);
      content.fill(0, PAGE, 2 * PAGE).fill(0, 3 * PAGE, 4 * PAGE);
      const calls: string[] = [];
      const writer = {
        data: async (offset: number, { length }: Buffer) => void calls.push(`data ${offset / PAGE} + ${length / PAGE}`),
        zero: async (offset: number) => void calls.push(`zero ${offset / PAGE}`),
        keepsZeros: (length: number) => {
          calls.push(`${length / PAGE} of zeros`);
          return keeps;
        },
        finish: () => assert.fail(),
        abort: () => assert.fail(),
      };
      await copyDisk({
        reader: new FakeReader(content),
        size: SIZE,
        extents: [{ offset: 0, length: 8 * PAGE }],
        writer,
      });
      const given = keeps ? ['data 0 + 8'] : ['data 0 + 1', 'zero 1', 'data 2 + 1', 'zero 3', 'data 4 + 4'];
      assert.deepEqual(calls, ['2 of zeros', ...given]);
    });
  }
});
