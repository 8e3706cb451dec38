import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AllocationExtent } from '../extent/index.js';
import { type CopyPiece, copyPieces } from './copy-pieces.js';

const SLOT_LENGTH = 256 * 1024;

async function piecesOf(extents: readonly AllocationExtent[]): Promise<readonly CopyPiece[]> {
  const pieces: CopyPiece[] = [];
  const source = (async function* () {
    for (const extent of extents) yield await Promise.resolve(extent);
  })();
  for await (const piece of copyPieces(source, SLOT_LENGTH)) pieces.push(piece);
  return pieces;
}

const layout = fc
  .array(fc.record({ kind: fc.constantFrom('data', 'zero', 'hole'), length: fc.integer({ min: 1, max: 600_000 }) }))
  .map((extents) => {
    let offset = 0;
    return extents.map(({ kind, length }) => {
      offset += length;
      return { kind, length, offset: offset - length } as const;
    });
  });

describe('copyPieces', () => {
  it('leaves nothing out, changes no kind, and reads through the last data of a piece', async () => {
    await fc.assert(
      fc.asyncProperty(layout, async (extents) => {
        const pieces = await piecesOf(extents);
        let at = 0;
        for (const { offset, readLength, items } of pieces) {
          assert.ok(offset === at && readLength <= SLOT_LENGTH && items.length > 0);
          const data = items.findLast(({ kind }) => kind === 'data');
          assert.equal(readLength, data === undefined ? 0 : data.offset + data.length - offset);
          for (const item of items) {
            assert.ok(item.length > 0 && item.offset === at);
            const whole = extents.find((extent) => extent.offset <= at && extent.offset + extent.length > at);
            assert.equal(item.kind, whole?.kind);
            at += item.length;
          }
        }
        assert.equal(
          at,
          extents.reduce((sum, { length }) => sum + length, 0),
        );
      }),
    );
  });

  it('reads many small extents at once, with the holes between them', async () => {
    const extents = Array.from({ length: 40 }, (_, index) => ({
      kind: index % 2 === 0 ? ('data' as const) : ('hole' as const),
      offset: index * 4096,
      length: 4096,
    }));
    const pieces = await piecesOf(extents);
    assert.deepEqual(
      pieces.map(({ readLength, items }) => [readLength, items.length]),
      [[39 * 4096, 40]],
    );
  });

  it('never reads a long hole, which goes with the data before it', async () => {
    const pieces = await piecesOf([
      { kind: 'data', offset: 0, length: 10 },
      { kind: 'hole', offset: 10, length: 100_000 },
      { kind: 'data', offset: 100_010, length: 10 },
    ]);
    assert.deepEqual(
      pieces.map(({ readLength, items }) => [readLength, items.length]),
      [
        [10, 2],
        [10, 1],
      ],
    );
  });
});
