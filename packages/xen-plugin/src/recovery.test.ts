import assert from 'node:assert/strict';
import { recoverLeftover } from './recovery.js';
import { XenSession } from './session.js';
import { fail, ScriptedPool } from './testing/scripted-pool.js';

const RUN = 'a'.repeat(16);
const TIME = '2026-01-02T03:04:05.000Z';

const snapshot = (uuid: string, more: Readonly<Record<string, unknown>>) => ({
  uuid,
  name_label: '',
  SR: 'OpaqueRef:sr',
  VBDs: [],
  snapshots: [],
  snapshot_of: 'OpaqueRef:live',
  is_a_snapshot: true,
  type: 'user',
  virtual_size: '4096',
  sharable: false,
  managed: true,
  snapshot_time: '20260102T03:04:06Z',
  other_config: { 'vbackup:run': RUN },
  ...more,
});

describe('recoverLeftover', () => {
  it('waits for a snapshot that goes on after its client died, and takes only what that run made', async () => {
    const records: Readonly<Record<string, unknown>> = {
      'OpaqueRef:ours': snapshot('ours', {}),
      'OpaqueRef:earlier': snapshot('earlier', {}),
      'OpaqueRef:untagged': snapshot('untagged', { other_config: {} }),
      'OpaqueRef:inherited': snapshot('inherited', { snapshot_time: '20260103T00:00:00Z' }),
      'OpaqueRef:plugged': snapshot('plugged', { VBDs: ['OpaqueRef:vbd-of-a-machine-snapshot'] }),
      'OpaqueRef:clone': snapshot('clone', { is_a_snapshot: false }),
      'OpaqueRef:foreign': snapshot('foreign', { snapshot_of: 'OpaqueRef:other' }),
    };
    let polls = 0;
    const destroyed: unknown[] = [];
    const pool = new ScriptedPool((method, [, self]) => {
      if (method === 'session.login_with_password') return 'OpaqueRef:session';
      if (method === 'VDI.get_by_uuid') return self === 'live' ? 'OpaqueRef:live' : `OpaqueRef:${String(self)}`;
      if (method === 'VDI.get_current_operations') {
        polls += 1;
        return polls < 3 ? { 'OpaqueRef:task': 'snapshot' } : {};
      }
      if (method === 'VDI.get_snapshots') return polls < 3 ? [] : Object.keys(records);
      if (method === 'VDI.get_record') return records[String(self)];
      if (method === 'VDI.get_VBDs') return [];
      if (method === 'Async.VDI.destroy') {
        destroyed.push(self);
        return 'OpaqueRef:task';
      }
      if (method === 'task.get_record') return { status: 'success', result: '' };
      return ['VDI.remove_from_other_config', 'task.destroy', 'session.logout'].includes(method)
        ? ''
        : fail('UNEXPECTED');
    });
    const entries = [{ step: 'snapshot-disk', disk: 'live', existing: ['earlier'], time: TIME }];
    {
      await using session = await XenSession.login(pool.options());
      await recoverLeftover(session, { backupId: RUN, entries, committed: false });
    }
    assert.deepEqual(destroyed, ['OpaqueRef:ours']);
    const order = pool.asked.map((asked) => asked.split(' ')[1]);
    assert.ok(order.indexOf('VDI.remove_from_other_config') > order.indexOf('Async.VDI.destroy'), 'the mark goes last');
  });
});
