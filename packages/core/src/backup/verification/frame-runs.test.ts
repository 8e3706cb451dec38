import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/index.js';
import { collect } from '../../testing/collect.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import { frameRuns } from './frame-runs.js';

const DIGEST = Buffer.alloc(32);

interface Step {
  readonly kind: 'data' | 'zero';
  readonly stored: number;
  readonly length: number;
  /** Between the frame before and this one. */
  readonly gap: number;
}

function recordsOf(steps: readonly Step[]): FrameRecord[] {
  let [at, offset] = [100, 0];
  return steps.map(({ kind, stored, length, gap }) => {
    const fileOffset = at + gap + FRAME_HEADER_LENGTH;
    const storedLength = kind === 'data' ? stored : 0;
    const record: FrameRecord = { kind, offset, length, fileOffset, storedLength, digest: DIGEST };
    at = fileOffset + (kind === 'data' ? stored + TERMINATOR.length : 0);
    offset += length;
    return record;
  });
}

async function* given(records: readonly FrameRecord[]): AsyncGenerator<FrameRecord> {
  yield* records;
}

describe('frameRuns', () => {
  const step = fc.record({
    kind: fc.constantFrom('data' as const, 'zero' as const),
    stored: fc.integer({ min: 1, max: 400 }),
    length: fc.integer({ min: 1, max: 900 }),
    gap: fc.constantFrom(0, 0, 0, 0, 3),
  });

  it('has every frame once, in order, and joins all that touch and stay within the limits', async () => {
    const limits = { length: 1000, dataLength: 1500 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const records = recordsOf(steps);
        const runs = await collect(frameRuns(given(records), limits));
        assert.deepEqual(
          runs.flatMap((run) => run.records),
          records,
        );
        for (const [number, { start, end, dataLength, records: joined }] of runs.entries()) {
          assert.ok(joined.length === 1 || (end - start <= limits.length && dataLength <= limits.dataLength));
          const data = joined.filter(({ kind }) => kind === 'data');
          assert.equal(
            dataLength,
            data.reduce((sum, { length }) => sum + length, 0),
          );
          const overhead = joined.length * FRAME_HEADER_LENGTH + data.length * TERMINATOR.length;
          const stored = data.reduce((sum, { storedLength }) => sum + storedLength, 0);
          assert.equal(end - start, stored + overhead);
          const [next] = runs[number + 1]?.records ?? [];
          if (next === undefined || next.fileOffset - FRAME_HEADER_LENGTH !== end) continue;
          const more = next.fileOffset + (next.kind === 'data' ? next.storedLength + TERMINATOR.length : 0) - start;
          const moreData = dataLength + (next.kind === 'data' ? next.length : 0);
          assert.ok(more > limits.length || moreData > limits.dataLength);
        }
      }),
    );
  });

  it('is bounded in frames too', async () => {
    const zeros = recordsOf(Array.from({ length: 3000 }, () => ({ kind: 'zero', stored: 0, length: 1, gap: 0 })));
    const runs = await collect(frameRuns(given(zeros), { length: 1024 * 1024, dataLength: 1 }));
    assert.deepEqual(
      runs.map(({ records }) => records.length),
      [1024, 1024, 952],
    );
  });
});
