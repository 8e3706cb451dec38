import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ancestry, type ChainLink, orderChain } from './chain.js';
import type { StreamMeta } from './meta.js';

const base: StreamMeta = {
  virtualSize: 1024,
  dataSize: 0,
  date: '',
  diskName: 'vda',
  diskFormat: 'qcow2',
  checkpointName: '',
  parentCheckpoint: '',
  incremental: false,
  streamVersion: 2,
  compressed: false,
  vbackup: undefined,
};

/** `5 inc 2 1`: at minute 5, of that level, checkpoint 2, on checkpoint 1. */
function link(text: string, overrides: Partial<StreamMeta> = {}): ChainLink {
  const [minute = '', level = '', checkpoint, parent] = text.split(' ');
  const meta = {
    ...base,
    date: `2026-11-20T10:${minute.padStart(2, '0')}:00.000001`,
    checkpointName: `virtnbdbackup.${checkpoint}`,
    parentCheckpoint: parent === undefined ? '' : `virtnbdbackup.${parent}`,
    incremental: parent !== undefined,
    ...overrides,
  };
  return { name: text, meta, level: level === 'inc' || level === 'diff' || level === 'copy' ? level : undefined };
}

/** `5 c b`: at minute 5, backup c on backup b, both named by their letters. */
function ours(text: string, overrides: Partial<StreamMeta> = {}): ChainLink {
  const [minute, id = '', parent] = text.split(' ');
  return link(`${minute} - ${id}${parent === undefined ? '' : ` ${parent}`}`, {
    vbackup: { id, parent: parent ?? null },
    ...overrides,
  });
}

const namesOf = (links: readonly ChainLink[]): string[] => orderChain(links).map(({ link: { name } }) => name);

describe('orderChain', () => {
  const orders: readonly (readonly [string, readonly ChainLink[]])[] = [
    ['a full alone', [link('0 full 0')]],
    ['a full and increments', [link('0 full 0'), link('1 inc 1 0'), link('2 inc 2 1')]],
    [
      'a differential and the increment of its name',
      [link('0 full 0'), link('1 diff 1 0'), link('2 inc 1 0'), link('3 inc 2 1')],
    ],
    ['the same where the names do not tell', [link('0 x 0'), link('1 x 1 0'), link('2 x 1 0'), link('3 x 2 1')]],
    ['a differential at the end', [link('0 full 0'), link('1 inc 1 0'), link('2 diff 2 1'), link('3 diff 2 1')]],
    ['a full in between', [link('0 full 0'), link('1 inc 1 0'), link('2 full 0'), link('3 inc 1 0')]],
    ['a machine that was off after its full', [link('0 full 0'), link('1 inc 0 0'), link('2 inc 1 0')]],
    ['ours', [ours('0 a'), ours('1 b a'), ours('2 c b')]],
    ['ours with differentials', [ours('0 a'), ours('1 x a'), ours('2 y a'), ours('3 b a'), ours('4 z b')]],
    ['ours, whatever the dates say', [ours('9 a'), ours('5 b a'), ours('1 c b')]],
  ];
  for (const [name, links] of orders) {
    it(`orders ${name}, in whatever order they are found`, () => {
      const expected = links.map((each) => each.name);
      fc.assert(
        fc.property(fc.shuffledSubarray([...links], { minLength: links.length }), (shuffled) =>
          assert.deepEqual(
            namesOf(shuffled).map((found) => found.replace(/^. - /, '')),
            expected.map((each) => each.replace(/^. - /, '')),
          ),
        ),
      );
    });
  }

  it('does not mind that the clock went back for the winter', () => {
    const [full, inc] = [
      link('0 full 0', { date: '2026-10-25T02:50:00' }),
      link('1 inc 1 0', { date: '2026-10-25T02:10:00' }),
    ];
    assert.deepEqual(namesOf([inc, full]), ['0 full 0', '1 inc 1 0']);
  });

  const faults: readonly (readonly [string, string, readonly ChainLink[]])[] = [
    ['no file', 'VB_CHAIN_MISSING', []],
    ['no full', 'VB_CHAIN_MISSING', [link('1 inc 1 0')]],
    ['a link that is missing', 'VB_CHAIN_MISSING', [link('0 full 0'), link('2 inc 2 1'), link('3 inc 3 2')]],
    ['an increment on a differential', 'VB_CHAIN_MISSING', [link('0 full 0'), link('1 diff 1 0'), link('2 inc 2 1')]],
    ['an increment twice', 'VB_CHAIN_DOUBLED', [link('0 full 0'), link('1 inc 1 0'), link('2 inc 1 0')]],
    ['a copy of a file', 'VB_CHAIN_DOUBLED', [link('0 full 0'), link('1 x 1 0'), link('1 x 1 0')]],
    ['two fulls of one time', 'VB_CHAIN_DOUBLED', [link('0 full 0'), link('0 full 0')]],
    ['two names on one backup', 'VB_CHAIN_DOUBLED', [link('0 full 0'), link('1 x 1 0'), link('2 x 2 0')]],
    ['another disk', 'VB_CHAIN_FOREIGN', [link('0 full 0'), link('1 inc 1 0', { diskName: 'vdaa' })]],
    ['another size', 'VB_CHAIN_FOREIGN', [link('0 full 0'), link('1 inc 1 0', { virtualSize: 2048 })]],
    ['ours among others', 'VB_CHAIN_FOREIGN', [link('0 full 0'), ours('1 b a')]],
    [
      'a full made after its increment',
      'VB_CHAIN_CHANGED',
      [link('0 full 0', { date: '2026-11-21T00:00:00' }), link('1 inc 1 0')],
    ],
    ['an increment replaced while off', 'VB_CHAIN_CHANGED', [link('0 full 0'), link('2 inc 1 1'), link('3 inc 2 1')]],
    ['an increment without a parent', 'VB_CHAIN_CHANGED', [link('0 full 0'), link('1 inc 1', { incremental: true })]],
    ['a full with a parent', 'VB_CHAIN_CHANGED', [link('1 inc 1 0', { incremental: false })]],
    ['our link that is missing', 'VB_CHAIN_MISSING', [ours('0 a'), ours('2 c b')]],
    ['our full missing', 'VB_CHAIN_MISSING', [ours('1 b a')]],
    ['a circle', 'VB_CHAIN_MISSING', [ours('0 a'), ours('1 b c'), ours('2 c b')]],
    ['our backup twice', 'VB_CHAIN_DOUBLED', [ours('0 a'), ours('1 b a'), ours('2 b a')]],
    ['two of our fulls', 'VB_CHAIN_DOUBLED', [ours('0 a'), ours('1 b')]],
    ['two branches', 'VB_CHAIN_DOUBLED', [ours('0 a'), ours('1 b a'), ours('2 c a'), ours('3 d b'), ours('4 e c')]],
    ['our names changed', 'VB_CHAIN_CHANGED', [ours('0 a'), ours('1 b a', { parentCheckpoint: 'virtnbdbackup.z' })]],
  ];
  for (const [name, code, links] of faults) {
    it(`refuses ${name}`, () => assert.throws(() => orderChain(links), { code }));
  }

  it('knows what each file needs', () => {
    const links = [link('0 full 0'), link('1 diff 1 0'), link('2 inc 1 0'), link('3 inc 2 1'), link('4 diff 3 2')];
    const ordered = orderChain(links);
    const needs = links.map((tip) =>
      ancestry(ordered, tip)
        .map(({ name }) => name[0])
        .join(''),
    );
    assert.deepEqual(needs, ['0', '01', '02', '023', '0234']);
    assert.throws(() => ancestry(ordered, link('9 inc 9 8')), { code: 'VB_CHAIN_MISSING' });
  });
});
