import assert from 'node:assert/strict';
import { manifestOf } from '../testing/manifest.js';
import { chainOf, inChainOrder } from './chains.js';

const idsOf = (backups: readonly { id: string }[]): string[] => backups.map(({ id }) => id.slice(0, 2));
const id = (text: string): string => text.padEnd(16, '0');

describe('inChainOrder', () => {
  it('puts guest after guest, chain after chain, and parents before children whatever their times say', () => {
    const other = { id: 'g2', name: 'db', kind: 'disk' } as const;
    const backups = [
      manifestOf('a3', { parent: id('a2') }),
      manifestOf('a1'),
      manifestOf('b1', { guest: other }),
      manifestOf('a2', { parent: id('a1') }),
      manifestOf('a9'),
      manifestOf('b2', { guest: other, parent: id('b1') }),
      manifestOf('a4', { parent: id('a1') }),
    ];
    assert.deepEqual(idsOf(inChainOrder(backups)), ['a1', 'a2', 'a3', 'a4', 'a9', 'b1', 'b2']);
  });

  it('keeps a backup whose parent is gone', () => {
    assert.deepEqual(idsOf(inChainOrder([manifestOf('a2', { parent: id('a1') })])), ['a2']);
  });
});

describe('chainOf', () => {
  it('goes from the full to the backup, and ends on a loop', () => {
    const full = manifestOf('a1');
    const inc = manifestOf('a2', { parent: full.id });
    assert.deepEqual(chainOf(inc, [inc, full]), [full.id, inc.id]);
    const loop = manifestOf('c1', { parent: id('c1') });
    assert.deepEqual(chainOf(loop, [loop]), [loop.id]);
  });
});
