import assert from 'node:assert/strict';
import type { BlockReader, Extent } from '@vbackup/core';
import { allocationOf, withAllocation } from './allocation.js';
import type { BlockMap } from './block-map.js';

describe('allocationOf', () => {
  const kinds = (map: BlockMap | null, range: Extent): readonly string[] =>
    [...allocationOf(map, range)].map(({ kind, offset, length }) => `${kind} ${offset}+${length}`);

  it('calls everything data where there is no map', () => {
    assert.deepEqual(kinds(null, { offset: 10, length: 20 }), ['data 10+20']);
  });

  it('calls what the map does not cover data', () => {
    const map = { blockLength: 4, size: 8, allocated: [{ offset: 4, length: 4 }] };
    assert.deepEqual(kinds(map, { offset: 2, length: 10 }), ['hole 2+2', 'data 4+4', 'data 8+4']);
    assert.deepEqual(kinds(map, { offset: 20, length: 5 }), ['data 20+5']);
  });
});

describe('withAllocation', () => {
  const MIB = 1024 * 1024;
  const disk: BlockReader = {
    size: 64 * MIB,
    limits: { alignment: 512, maximumRequest: MIB, maximumInFlight: 1 },
    read: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const map: BlockMap = { blockLength: 2 * MIB, size: 64 * MIB, allocated: [{ offset: 2 * MIB, length: 2 * MIB }] };

  async function ask(changed: readonly Extent[] | null, ranges: readonly Extent[]): Promise<[number, string[]]> {
    let fetched = 0;
    const fetch = () => {
      fetched += 1;
      return Promise.resolve(map);
    };
    const reader = withAllocation(disk, { changed, fetch });
    const kinds: string[] = [];
    for (const range of ranges) {
      for await (const { kind, length } of reader.allocation?.(range) ?? assert.fail()) {
        kinds.push(`${kind} ${length / MIB}`);
      }
    }
    return [fetched, kinds];
  }

  it('reads several pieces at once if the disk can', async () => {
    const calls: unknown[][] = [];
    const readAll: BlockReader['readAll'] = async (...call) => void calls.push(call);
    const source = { changed: null, fetch: () => Promise.resolve(map) };
    assert.ok(withAllocation(disk, source).readAll === undefined);
    const call = [[{ offset: 0, target: Buffer.alloc(512) }], { signal: new AbortController().signal }] as const;
    await withAllocation({ ...disk, readAll }, source).readAll?.(...call);
    assert.deepEqual(calls, [call]);
  });

  it('asks the host once when the whole disk is read', async () => {
    const halves = [0, 32].map((offset) => ({ offset: offset * MIB, length: 32 * MIB }));
    assert.deepEqual(await ask(null, halves), [1, ['hole 2', 'data 2', 'hole 28', 'hole 32']]);
  });

  it('does not ask the host for what changed', async () => {
    const changed = [1, 9, 17].map((offset) => ({ offset: offset * MIB, length: 65536 }));
    assert.deepEqual(await ask(changed, changed), [0, ['data 0.0625', 'data 0.0625', 'data 0.0625']]);
  });

  it('asks the host when more is read than what changed', async () => {
    assert.deepEqual(await ask([{ offset: MIB, length: 65536 }], [{ offset: 0, length: 4 * MIB }]), [
      1,
      ['hole 2', 'data 2'],
    ]);
  });
});
