import assert from 'node:assert/strict';
import { VBackupError } from '@vbackup/core/errors';
import type { OutputEvent } from '../output/events.js';
import { Output } from '../output/output.js';
import { TestWorld } from '../testing/test-world.js';
import { FaultLines } from './fault-lines.js';

describe('FaultLines', () => {
  function linesOf(): { faults: FaultLines; shown: OutputEvent[] } {
    const shown: OutputEvent[] = [];
    const renderer = { show: (event: OutputEvent): void => void shown.push(event), close: (): void => {} };
    return { faults: new FaultLines(new Output(new TestWorld(), 'serve', [renderer])), shown };
  }
  const disk = {
    name: 'vda',
    description: '',
    size: 0,
    changedSince: [],
    read: async () => {},
    async *extents() {},
    [Symbol.asyncDispose]: async () => {},
  };
  const client = (remote: string) => ({
    index: 0,
    remote,
    secure: false,
    certificate: undefined,
    identity: undefined,
    signal: new AbortController().signal,
  });
  const damage = (text: string): VBackupError => new VBackupError('VB_FRAME_DIGEST', text);

  it('tells a fault once, with its disk, however often it is asked for', () => {
    const { faults, shown } = linesOf();
    for (const text of ['at 1', 'at 2', 'at 1']) faults.disk(damage(text), disk);
    assert.deepEqual(
      shown.map((event) => event.type === 'error' && [event.code, event.subject, event.message]),
      [
        ['VB_FRAME_DIGEST', 'vda', 'at 1'],
        ['VB_FRAME_DIGEST', 'vda', 'at 2'],
      ],
    );
  });

  it('stops telling at some point, and says so', () => {
    const { faults, shown } = linesOf();
    for (let index = 0; index < 1_000; index += 1) faults.disk(damage(`at ${index}`), disk);
    assert.equal(shown.length, 101);
    assert.match(JSON.stringify(shown.at(-1)), /further ones are not shown/);
  });

  it('says nothing of a client that left, and one line of a host whatever the port', () => {
    const { faults, shown } = linesOf();
    faults.disk(new VBackupError('VB_ABORTED', 'the client is gone'), disk);
    faults.connection(new VBackupError('VB_NBD_SERVER_PEER_GONE', 'gone'), client('10.0.0.1:5'));
    for (const port of [1, 2, 3]) {
      faults.connection(new VBackupError('VB_NBD_SERVER_PROTOCOL', 'bad magic'), client(`10.0.0.1:${port}`));
    }
    assert.deepEqual(
      shown.map((event) => event.type === 'warning' && event.message),
      ['10.0.0.1: bad magic'],
    );
  });
});
