import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { FrameRecord } from '../frame-index/frame-record.js';
import { SegmentMap } from './segment-map.js';

const NOTHING = Buffer.alloc(32);
/** What a unit of the model holds: zeros, or a frame. */
type Cell = `${number}/${number}` | 'zero';
interface Frame {
  readonly kind: 'data' | 'zero';
  readonly offset: number;
  readonly length: number;
}

async function* records(frames: readonly Frame[]): AsyncGenerator<FrameRecord> {
  for (const frame of frames) yield { ...frame, fileOffset: 0, storedLength: 0, digest: NOTHING };
}

const kind = fc.constantFrom('data' as const, 'zero' as const);

/** Frames that cover `size` units, or only some of them. */
const layer = (size: number, whole: boolean) =>
  fc
    .array(fc.record({ gap: fc.nat(whole ? 0 : 3), length: fc.integer({ min: 1, max: 5 }), kind }), { maxLength: 12 })
    .map((steps) => {
      const frames: Frame[] = [];
      let offset = 0;
      for (const step of steps) {
        offset += step.gap;
        if (offset + step.length > size) break;
        frames.push({ kind: step.kind, offset, length: step.length });
        offset += step.length;
      }
      if (whole && offset < size) frames.push({ kind: 'data', offset, length: size - offset });
      return frames;
    });

const chain = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.nat(10), fc.nat(10))
  .chain(([size, more, evenMore]) =>
    fc.tuple(
      fc.constant([size, size + more, size + more + evenMore] as const),
      layer(size, true),
      layer(size + more, false),
      layer(size + more + evenMore, false),
    ),
  );

describe('SegmentMap', () => {
  it('holds for each byte the newest frame that has it, in any range', async () => {
    await fc.assert(
      fc.asyncProperty(chain, fc.nat(60), fc.nat(60), async ([sizes, ...layers], from, length) => {
        const model: Cell[] = [];
        let map = SegmentMap.empty(0);
        for (const [number, frames] of layers.entries()) {
          const size = sizes[number] ?? 0;
          map = await map.overlay({ number, size, algorithm: 'blake3' }, records(frames));
          while (model.length < size) model.push('zero');
          for (const [index, frame] of frames.entries()) {
            model.fill(
              frame.kind === 'zero' ? 'zero' : `${number}/${index}`,
              frame.offset,
              frame.offset + frame.length,
            );
          }
        }
        const offset = Math.min(from, map.size);
        const range = { offset, length: Math.min(length, map.size - offset) };
        const cells: Cell[] = [];
        for (const segment of map.segments(range)) {
          assert.equal(segment.offset, offset + cells.length);
          const { frame } = segment;
          const cell: Cell = frame === null ? 'zero' : `${frame.layer}/${frame.number}`;
          for (let unit = 0; unit < segment.length; unit += 1) cells.push(cell);
        }
        assert.deepEqual(cells, model.slice(offset, offset + range.length));
      }),
    );
  });

  it('refuses a full with a gap', async () => {
    const gaps: readonly (readonly Frame[])[] = [
      [],
      [{ kind: 'data', offset: 1, length: 9 }],
      [{ kind: 'data', offset: 0, length: 9 }],
    ];
    for (const frames of gaps) {
      const shape = { number: 0, size: 10, algorithm: 'blake3' as const };
      await assert.rejects(SegmentMap.empty(0).overlay(shape, records(frames)), { code: 'VB_INDEX_DAMAGED' });
    }
  });
});
