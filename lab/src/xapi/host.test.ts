import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import type { XapiHost } from './host.js';
import { startXapiHost } from './start.js';
import { JsonClient } from './testing/json-client.js';

const MIB = 2 ** 20;

describe('the life of a snapshot on the lab host', () => {
  let host: XapiHost;
  let client: JsonClient;
  let disk: string;
  let ref: string;

  beforeEach(async () => {
    host = await startXapiHost({ dataDestroyWaitMs: 60 });
    client = await JsonClient.login(host);
    disk = host.addDisk({ size: 3 * MIB, label: 'system' });
    ref = await client.text('VDI.get_by_uuid', disk);
  });

  afterEach(async () => {
    client[Symbol.dispose]();
    await host[Symbol.asyncDispose]();
  });

  it('freezes the content: later writes change the disk alone', async () => {
    host.guestWrite(disk, 5, Buffer.from('before'));
    const before = await host.digest(disk);
    const snapshot = await client.text('VDI.snapshot', ref);
    host.guestWrite(disk, 5, Buffer.from('after!'));
    assert.equal(await host.digest(await client.text('VDI.get_uuid', snapshot)), before);
    assert.notEqual(await host.digest(disk), before);
    assert.equal(await client.call('VDI.get_is_a_snapshot', snapshot), true);
    assert.deepEqual(await client.call('VDI.get_snapshots', ref), [snapshot]);
  });

  it('keeps its log when its data is destroyed, and takes no reader any more', async () => {
    await client.call('VDI.enable_cbt', ref);
    const snapshot = await client.text('VDI.snapshot', ref);
    await client.call('VDI.data_destroy', snapshot);
    await client.call('VDI.data_destroy', snapshot);
    assert.equal(await client.call('VDI.get_type', snapshot), 'cbt_metadata');
    await assert.rejects(client.call('VDI.get_nbd_info', snapshot), { code: 'VDI_INCOMPATIBLE_TYPE' });
    assert.deepEqual(host.leftovers().bases, [await client.text('VDI.get_uuid', snapshot)]);
    assert.deepEqual(host.leftovers().snapshots, []);
  });

  it('gives up destroying the data while any VBD is there, attached or not', async () => {
    await client.call('VDI.enable_cbt', ref);
    const machine = host.addMachine({ name: 'web', disks: [disk] });
    const vm = await client.text('VM.get_by_uuid', machine);
    const vmSnapshot = await client.text('VM.snapshot', vm, 'backup');
    const [snapshot] = host.leftovers().snapshots;
    assert.ok(snapshot !== undefined);
    const frozen = await client.text('VDI.get_by_uuid', snapshot);
    await assert.rejects(client.call('VDI.data_destroy', frozen), {
      code: 'VDI_IN_USE',
      params: [frozen, 'data_destroy'],
    });
    await client.call('VM.destroy', vmSnapshot);
    await client.call('VDI.data_destroy', frozen);
  });

  it('leaves the original CD in the drive of a machine snapshot', async () => {
    const iso = host.addDisk({ size: MIB, label: 'tools.iso' });
    const machine = host.addMachine({ name: 'web', disks: [disk], cd: iso });
    await client.call('VM.snapshot', await client.text('VM.get_by_uuid', machine), 'backup');
    const image = await client.text('VDI.get_by_uuid', iso);
    assert.equal(host.records('VBD').filter((vbd) => vbd['VDI'] === image && vbd['type'] === 'CD').length, 2);
    assert.equal(host.leftovers().snapshots.length, 1);
  });

  it('has no relation to anything after a crash', async () => {
    await client.call('VDI.enable_cbt', ref);
    const base = await client.text('VDI.snapshot', ref);
    host.crash();
    assert.equal(host.leftovers().sessions, 0);
    client[Symbol.dispose]();
    client = await JsonClient.login(host);
    assert.equal(await client.call('VDI.get_cbt_enabled', ref), false);
    assert.deepEqual(
      host.records('message').map(({ name, obj_uuid: uuid }) => [name, uuid]),
      [['VDI_CBT_METADATA_INCONSISTENT', disk]],
    );
    await client.call('VDI.enable_cbt', ref);
    const next = await client.text('VDI.snapshot', ref);
    await assert.rejects(client.call('VDI.list_changed_blocks', base, next), { code: 'SR_BACKEND_FAILURE_460' });
  });

  it('tells by a message and a flag only that tracking ended at a snapshot', async () => {
    await client.call('VDI.enable_cbt', ref);
    host.faults.snapshotEndsTracking = true;
    const snapshot = await client.text('VDI.snapshot', ref);
    assert.equal(await client.call('VDI.get_cbt_enabled', snapshot), false);
    assert.equal(await client.call('VDI.get_cbt_enabled', ref), false);
    assert.deepEqual(
      host.records('message').map(({ name }) => name),
      ['VDI_CBT_SNAPSHOT_FAILED'],
    );
    await assert.rejects(client.call('VDI.data_destroy', snapshot), { code: 'VDI_NO_CBT_METADATA' });
  });

  it('refuses tracking without a licence and on an SR that cannot track', async () => {
    host.faults.cbtLicensed = false;
    await assert.rejects(client.call('VDI.enable_cbt', ref), { code: 'LICENCE_RESTRICTION', params: ['CBT'] });
    host.faults.clear();
    const linstor = host.addSr({ label: 'linstor', type: 'linstor', cbt: false });
    const other = await client.text('VDI.get_by_uuid', host.addDisk({ size: MIB, label: 'other', sr: linstor }));
    await assert.rejects(client.call('VDI.enable_cbt', other), { code: 'SR_OPERATION_NOT_SUPPORTED' });
  });

  it('shows what was left behind', async () => {
    await client.call('VDI.snapshot', ref);
    await client.call('task.create', 'forgotten', '');
    const { snapshots, tasks, sessions, exports } = host.leftovers();
    assert.deepEqual([snapshots.length, tasks, sessions, exports], [1, ['forgotten'], 1, []]);
    await client.call('session.logout');
    assert.equal(host.leftovers().sessions, 0);
  });
});

describe('calls to the lab host', () => {
  it('are counted, and wrong ones get the code that xapi gives', async () => {
    await using host = await startXapiHost();
    using client = await JsonClient.login(host);
    const cases: readonly (readonly [code: string, method: string, ...params: unknown[]])[] = [
      ['HANDLE_INVALID', 'VDI.get_record', 'OpaqueRef:gone'],
      ['UUID_INVALID', 'VDI.get_by_uuid', 'gone'],
      ['MESSAGE_METHOD_UNKNOWN', 'VDI.set_cbt_enabled', 'x', true],
      ['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VDI.snapshot'],
      ['FIELD_TYPE_ERROR', 'event.from', ['*'], '', 30],
      ['EVENT_SUBSCRIPTION_PARSE_FAILURE', 'event.from', ['a/b/c'], '', 0.1],
      ['EVENTS_LOST', 'event.from', ['*'], `${'9'.padStart(20, '0')}9,${'0'.repeat(20)}`.slice(1), 0.1],
    ];
    for (const [code, method, ...params] of cases) await assert.rejects(client.call(method, ...params), { code }, code);
    assert.deepEqual(
      host.calls.slice(1),
      cases.map(([, method]) => method),
    );
  });

  it('wait for the events of one object only', async () => {
    await using host = await startXapiHost();
    using client = await JsonClient.login(host);
    const [one, two] = await Promise.all(
      ['one', 'two'].map((label) => client.text('VDI.get_by_uuid', host.addDisk({ size: MIB, label }))),
    );
    const first = batch(await client.call('event.from', [`VDI/${one}`], '', 5.5));
    assert.deepEqual(first.events, [{ operation: 'add', ref: one }]);
    const waiting = client.call('event.from', [`VDI/${one}`], first.token, 5.5);
    await client.call('VDI.set_name_label', two, 'renamed');
    await client.call('VDI.destroy', one);
    assert.deepEqual(batch(await waiting).events, [{ operation: 'del', ref: one }]);
  });

  it('can fail, be cut off, be answered late, or never', async () => {
    await using host = await startXapiHost();
    using client = await JsonClient.login(host);
    host.faults.call({ method: 'pool.get_all', error: ['HOST_STILL_BOOTING'], times: 1, after: 1 });
    await client.call('pool.get_all');
    await assert.rejects(client.call('pool.get_all'), { code: 'HOST_STILL_BOOTING' });
    await client.call('pool.get_all');

    host.faults.call({ method: 'task.create', drop: 'before', times: 1 });
    await assert.rejects(client.call('task.create', 'a', ''), { code: 'ECONNRESET' });
    host.faults.call({ method: 'task.create', drop: 'after', times: 1 });
    await assert.rejects(client.call('task.create', 'b', ''), { code: 'ECONNRESET' });
    assert.deepEqual(host.leftovers().tasks, ['b']);

    host.faults.call({ method: 'pool.get_all', delayMs: Number.POSITIVE_INFINITY });
    const never = client.call('pool.get_all');
    const outcome = await Promise.race([never.catch(() => 'cut'), setTimeout(50, 'waiting')]);
    assert.equal(outcome, 'waiting');
    host.cutConnections();
    await assert.rejects(never);
  });

  it('to methods that an old host lacks are unknown', async () => {
    await using host = await startXapiHost();
    using client = await JsonClient.login(host);
    host.faults.missingMethods.add('VDI.enable_cbt');
    await assert.rejects(client.call('VDI.enable_cbt', 'x'), {
      code: 'MESSAGE_METHOD_UNKNOWN',
      params: ['VDI.enable_cbt'],
    });
  });

  it('are refused as a page of HTML when they cannot be read or are too long', async () => {
    await using host = await startXapiHost();
    using client = await JsonClient.login(host);
    for (const body of ['{', '{"method":7}', `"${'x'.repeat(300 * 1024)}"`]) {
      const answer = await client.http({ method: 'POST', path: '/jsonrpc' }, Buffer.from(body));
      assert.deepEqual([answer.status, answer.headers['content-type']], [500, 'text/html']);
    }
    for (const body of [
      '<methodCall>',
      '<a/><b/>',
      '<methodCall><methodName>x</methodName><params><param/></params></methodCall>',
    ]) {
      assert.equal((await client.http({ method: 'POST', path: '/' }, Buffer.from(body))).status, 500);
    }
  });
});

function batch(value: unknown): { readonly token: string; readonly events: readonly unknown[] } {
  assert.ok(typeof value === 'object' && value !== null && 'token' in value && 'events' in value);
  assert.ok(typeof value.token === 'string' && Array.isArray(value.events));
  const events = value.events.map((event: unknown) => {
    assert.ok(typeof event === 'object' && event !== null && 'operation' in event && 'ref' in event);
    return { operation: event.operation, ref: event.ref };
  });
  return { token: value.token, events };
}
