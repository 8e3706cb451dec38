import assert from 'node:assert/strict';
import { type Contest, hold } from './contest.js';
import { markdown, type Result, withNewer } from './report.js';

const contest = (name: string, seconds: number): Contest => {
  const contender = (who: string, took: number) => ({
    name: who,
    run: () => Promise.resolve({ seconds: took, cpuSeconds: took }),
  });
  return { name, bytes: 2 ** 30, peer: contender('peer', 1), ours: [contender('vbackup', seconds)] };
};

const tableOf = async (machine: string, contests: readonly Contest[], absent: readonly string[] = []) => {
  const standings = await Promise.all(contests.map((each) => hold(each, 1)));
  const absences = absent.map((name) => ({ name, absent: 'it is not installed: here' }));
  const result: Result = { standings: standings.flat(), absences };
  return markdown(result, [machine]);
};

describe('withNewer', () => {
  it('has all rows where no work is in both tables, under what the newer was measured on', async () => {
    const before = await tableOf('monday', [contest('read', 2)], ['client']);
    const newer = await tableOf('tuesday', [contest('raw', 3)], ['xen']);
    const both = await tableOf('tuesday', [contest('read', 2), contest('raw', 3)], ['client', 'xen']);
    assert.equal(withNewer(before, newer), both);
  });

  it('replaces the rows of work that is in both, where they stood', async () => {
    const before = await tableOf('monday', [contest('read', 2), contest('raw', 3)]);
    const newer = await tableOf('tuesday', [contest('read', 1)]);
    assert.equal(withNewer(before, newer), await tableOf('tuesday', [contest('read', 1), contest('raw', 3)]));
  });

  it('forgets that something was not run once it was, and the other way round', async () => {
    const [absent, present] = [
      await tableOf('monday', [], ['client']),
      await tableOf('monday', [contest('client', 2)]),
    ];
    assert.equal(withNewer(absent, present), present);
    assert.equal(withNewer(present, absent), absent);
  });
});
