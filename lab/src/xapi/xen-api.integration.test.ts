import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { Xapi, type XapiOptions } from 'xen-api';
import type { XapiHost } from './host.js';
import { startXapiHost } from './start.js';

const KIB = 1024;
const MIB = 1024 * KIB;

for (const transport of ['xml-rpc', 'json-rpc', 'auto'] as const) {
  describe(`xen-api, a client nobody here wrote, over ${transport}`, () => {
    let host: XapiHost;
    let xapi: Xapi;
    let disk: string;
    let machine: string;

    beforeEach(async () => {
      host = await startXapiHost();
      disk = host.addDisk({ size: 10 * MIB, label: 'system' });
      machine = host.addMachine({ name: 'web', disks: [disk] });
      xapi = open(host, { transport });
      await xapi.connect();
      await xapi.objectsFetched;
    });

    afterEach(async () => {
      await xapi.disconnect();
      // It logs out without waiting, and complains of every connection that ends before.
      while (host.leftovers().sessions > 0) await setTimeout(5);
      await setTimeout(20);
      await host[Symbol.asyncDispose]();
    });

    it('connects and mirrors every object with its types', () => {
      const vdi = xapi.getObject(disk);
      assert.equal(vdi.$type, 'VDI');
      assert.equal(Number(vdi['virtual_size']), 10 * MIB);
      assert.equal(vdi['cbt_enabled'], false);
      assert.equal(vdi['snapshot_of'], 'OpaqueRef:NULL');
      assert.equal(xapi.getObject(machine)['power_state'], 'Running');
    });

    it('sees through events what changed on the host', async () => {
      const { $ref } = xapi.getObject(disk);
      await xapi.setFieldEntry('VDI', $ref, 'other_config', 'vbackup:chain', '7');
      await xapi.call('VDI.set_name_label', $ref, 'renamed <&>');
      const seen = await xapi.barrier($ref);
      assert.equal(seen['name_label'], 'renamed <&>');
      assert.deepEqual(seen['other_config'], { 'vbackup:chain': '7' });
    });

    it('tracks changed blocks from snapshot to snapshot, and destroys data only', async () => {
      const { $ref } = xapi.getObject(disk);
      await xapi.call('VDI.enable_cbt', $ref);
      const first = await xapi.callAsync('VDI.snapshot', $ref);
      for (const block of [0, 1, 9, 70, 159]) host.guestWrite(disk, block * 64 * KIB + 17, Buffer.from('x'));
      const second = await xapi.callAsync('VDI.snapshot', $ref);
      assert.equal(await xapi.call('VDI.list_changed_blocks', first, second), 'wEAAAAAAAAACAAAAAAAAAAAAAAE=');

      assert.equal(await xapi.callAsync('VDI.data_destroy', first), '');
      assert.equal(await xapi.getField('VDI', String(first), 'type'), 'cbt_metadata');
      assert.equal(await xapi.callAsync('VDI.list_changed_blocks', first, second), 'wEAAAAAAAAACAAAAAAAAAAAAAAE=');
      await xapi.callAsync('VDI.destroy', second);
      await assert.rejects(xapi.call('VDI.list_changed_blocks', first, second), { code: 'HANDLE_INVALID' });
    });

    it('gets failures with their code and parameters, in calls and in tasks', async () => {
      const { $ref } = xapi.getObject(disk);
      await xapi.call('VDI.enable_cbt', $ref);
      const snapshot = String(await xapi.call('VDI.snapshot', $ref));
      const refused = {
        code: 'SR_BACKEND_FAILURE_460',
        params: ['', 'Failed to calculate changed blocks for given VDIs. [opterr=Source and target VDI are same]', ''],
      };
      await assert.rejects(xapi.call('VDI.list_changed_blocks', snapshot, snapshot), refused);
      await assert.rejects(xapi.callAsync('VDI.list_changed_blocks', snapshot, snapshot), refused);
      await assert.rejects(xapi.call('VDI.no_such_method', $ref), { code: 'MESSAGE_METHOD_UNKNOWN' });
      host.faults.task({ name: 'VDI.snapshot', outcome: ['SR_BACKEND_FAILURE_44', '', 'no space', ''], times: 1 });
      await assert.rejects(xapi.callAsync('VDI.snapshot', $ref), { code: 'SR_BACKEND_FAILURE_44' });
    });

    it('is told where NBD is, with a certificate and an export of its session', async () => {
      const { $ref } = xapi.getObject(disk);
      const snapshot = String(await xapi.call('VDI.snapshot', $ref));
      const [info] = parseInfo(await xapi.call('VDI.get_nbd_info', snapshot));
      assert.equal(info?.['address'], '127.0.0.1');
      assert.equal(info?.['cert'], host.certificate);
      assert.equal(Number(info?.['port']), host.nbdPort);
      assert.equal(typeof info?.['port'], transport === 'xml-rpc' ? 'string' : 'number');
      assert.match(String(info?.['exportname']), new RegExp(`session_id=${xapi.sessionId}$`));
      const network = await xapi.getRecordByUuid('network', host.network);
      await xapi.call('network.remove_purpose', network.$ref, 'nbd');
      assert.deepEqual(await xapi.call('VDI.get_nbd_info', snapshot), []);
    });

    it('uploads a disk and downloads it again', async () => {
      const sr = await xapi.getRecordByUuid('SR', host.sr);
      const ref = await xapi.call('VDI.create', {
        name_label: 'restored',
        SR: sr.$ref,
        virtual_size: 2 * MIB,
        type: 'user',
        sharable: false,
        read_only: false,
        other_config: {},
      });
      const content = randomBytes(2 * MIB);
      await xapi.putResource(content, '/import_raw_vdi/', { query: { vdi: ref, format: 'raw' }, task: true });
      const response = await xapi.getResource('/export_raw_vdi/', { query: { vdi: ref, format: 'raw' }, task: true });
      assert.equal(response.statusCode, 200);
      assert.ok(Buffer.from(await response.body.arrayBuffer()).equals(content));
    });
  });

  describe(`xen-api without events over ${transport}`, () => {
    it('logs in again when its session is gone', async () => {
      await using host = await startXapiHost();
      const quiet = open(host, { transport, watchEvents: false });
      await quiet.connect();
      host.expireSessions();
      assert.equal(await quiet.call('pool.get_name_label', quiet.pool.$ref), 'lab');
      await quiet.disconnect();
    });

    it('is sent on by a pool member to the master', async () => {
      await using host = await startXapiHost();
      const member = await host.addMember();
      const other = open(host, { url: member.url, transport, watchEvents: false });
      await other.connect();
      assert.equal(await other.call('pool.get_name_label', other.pool.$ref), 'lab');
      await other.disconnect();
    });

    it('is refused with a wrong password', async () => {
      await using host = await startXapiHost();
      const stranger = open(host, { auth: { user: host.user, password: 'guess' }, transport, watchEvents: false });
      await assert.rejects(stranger.connect(), { code: 'SESSION_AUTHENTICATION_FAILED' });
    });
  });
}

describe('an old host without JSON-RPC', () => {
  it('makes xen-api fall back to XML-RPC', async () => {
    await using host = await startXapiHost();
    host.faults.jsonRpc = 'xml';
    const xapi = open(host, { watchEvents: false });
    await xapi.connect();
    assert.equal(await xapi.call('pool.get_name_label', xapi.pool.$ref), 'lab');
    await xapi.disconnect();
  });
});

/** It cannot pin a certificate: the lab's own clients check it. */
function open(host: XapiHost, options: Partial<XapiOptions>): Xapi {
  const auth = { user: host.user, password: host.password };
  return new Xapi({ url: host.url, auth, allowUnauthorized: true, debounce: 1, ...options });
}

function parseInfo(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  assert.ok(Array.isArray(value));
  return value.map((item: unknown) => {
    assert.ok(typeof item === 'object' && item !== null);
    return Object.fromEntries(Object.entries(item));
  });
}
