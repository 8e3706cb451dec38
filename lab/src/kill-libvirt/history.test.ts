import assert from 'node:assert/strict';
import { type Disks, digestOf, History } from './history.js';

describe('the history of what a guest wrote', () => {
  const zeros = (): Map<string, Buffer> =>
    new Map([
      ['vda', Buffer.alloc(4096)],
      ['vdb', Buffer.alloc(2048)],
    ]);
  const disks = (
    ...writes: readonly (readonly [target: string, offset: number, length: number, value: number])[]
  ): Disks => {
    const all = zeros();
    for (const [target, offset, length, value] of writes) all.get(target)?.fill(value, offset, offset + length);
    return all;
  };
  const history = (): History => {
    const made = new History(zeros());
    made.add({ target: 'vda', offset: 512, length: 1024, value: 1 });
    made.add({ target: 'vdb', offset: 0, length: 512, value: 2 });
    made.add({ target: 'vda', offset: 1024, length: 512, value: 3 });
    return made;
  };

  it('finds the moment at which the disks held some bytes', () => {
    assert.equal(history().find(zeros()), 0);
    assert.equal(history().find(disks(['vda', 512, 1024, 1])), 1);
    assert.equal(history().find(disks(['vda', 512, 1024, 1], ['vdb', 0, 512, 2])), 2);
    assert.equal(history().find(disks(['vda', 512, 512, 1], ['vda', 1024, 512, 3], ['vdb', 0, 512, 2])), 3);
  });

  it('finds none for disks of two moments, a write that is missing, and half a write', () => {
    assert.equal(history().find(disks(['vdb', 0, 512, 2])), null);
    assert.equal(history().find(disks(['vda', 512, 1024, 1], ['vda', 1024, 512, 3])), null);
    const half = disks(['vda', 512, 512, 1]);
    assert.equal(history().find(half), null);
    assert.match(history().nearest(half), /^after write 0 of 0 to 3 1 sectors differ: vda:1$/);
  });

  it('forgets what was before it was settled, and begins anew after a crash', () => {
    const settled = history();
    assert.equal(
      digestOf(settled.settle()),
      digestOf(disks(['vda', 512, 512, 1], ['vda', 1024, 512, 3], ['vdb', 0, 512, 2])),
    );
    assert.equal(settled.find(zeros()), null);
    settled.reset(zeros());
    assert.deepEqual([settled.find(zeros()), settled.count], [3, 3]);
  });
});
