import assert from 'node:assert/strict';
import { WaitingLine } from './waiting-line.js';

describe('WaitingLine', () => {
  it('serves in the order of asking, without those that were aborted', async () => {
    const line = new WaitingLine<number, string>();
    const stop = new AbortController();
    const [one, two, three] = [line.join(1), line.join(2, stop.signal), line.join(3, stop.signal)];
    assert.equal(line.first, 1);
    line.serve('a');
    assert.equal(await one, 'a');
    assert.equal(line.first, 2);
    line.serve('b');
    stop.abort(new Error('enough'));
    assert.equal(await two, 'b', 'what was granted before stays granted');
    await assert.rejects(three, /enough/);
    assert.ok(line.isEmpty);
    assert.equal(line.first, undefined);
    line.serve('nobody');
  });
});
