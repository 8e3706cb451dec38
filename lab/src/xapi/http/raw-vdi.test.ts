import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeUInt64LE } from '@vbackup/core';
import type { XapiHost } from '../host.js';
import { startXapiHost } from '../start.js';
import { JsonClient } from '../testing/json-client.js';
import { ChunkedBodyDecoder } from './chunked-body.js';

const MIB = 2 ** 20;

describe('raw import and export of the lab host', () => {
  let host: XapiHost;
  let client: JsonClient;
  let disk: string;
  let task: string;

  beforeEach(async () => {
    host = await startXapiHost();
    client = await JsonClient.login(host);
    disk = host.addDisk({ size: 4 * MIB, label: 'restored' });
    task = await client.text('task.create', 'restore', '');
  });

  afterEach(async () => {
    client[Symbol.dispose]();
    await host[Symbol.asyncDispose]();
  });

  it('writes only the chunks of a sparse upload, and the task says so', async () => {
    const data = randomBytes(100_000);
    const body = Buffer.concat([chunk(64, data), chunk(3 * MIB, Buffer.from('end')), chunk(0, Buffer.alloc(0))]);
    const answer = await upload(body, 'chunked=true');
    assert.deepEqual([answer.status, answer.headers['task-id']], [200, task]);
    assert.equal(await client.call('task.get_status', task), 'success');
    assert.ok(host.guestRead(disk, 64, data.length).equals(data));
    assert.equal(host.guestRead(disk, 3 * MIB, 3).toString(), 'end');
  });

  it('says 200 and fails the task when the stream is cut, or too long for the disk', async () => {
    const answer = await upload(chunk(0, Buffer.from('abc')), 'chunked=true');
    assert.equal(answer.status, 200);
    assert.equal(await client.call('task.get_status', task), 'failure');
    task = await client.text('task.create', 'restore', '');
    await upload(Buffer.concat([chunk(4 * MIB - 1, Buffer.from('abc'))]), 'chunked=true').catch(() => undefined);
    assert.deepEqual(await client.call('task.get_error_info', task), ['VDI_IO_ERROR', 'Device I/O errors']);
  });

  it('refuses a transfer encoding, a stranger, and a request without a disk', async () => {
    const path = `/import_raw_vdi?session_id=${client.session}&task_id=${task}&vdi=${disk}`;
    const encoded = await client.http(
      { method: 'PUT', path, headers: { 'transfer-encoding': 'chunked' } },
      Buffer.alloc(9),
    );
    assert.equal(encoded.status, 404);
    assert.deepEqual(await client.call('task.get_error_info', task), ['INTERNAL_ERROR', 'Cannot handle encoding']);
    const stranger = await client.http({ method: 'GET', path: `/export_raw_vdi?session_id=OpaqueRef:x&vdi=${disk}` });
    assert.deepEqual([stranger.status, stranger.headers['www-authenticate']], [401, 'Basic realm="XenServer"']);
    const nothing = await client.http({ method: 'PUT', path: `/import_raw_vdi?session_id=${client.session}` });
    assert.equal(nothing.status, 400);
  });

  it('takes the session and the task from cookies', async () => {
    const headers = { cookie: `session_id=${client.session}&task_id=${task}`, 'content-length': 3 };
    await client.http({ method: 'PUT', path: `/import_raw_vdi?vdi=${disk}&format=raw`, headers }, Buffer.from('raw'));
    assert.equal(await client.call('task.get_status', task), 'success');
    assert.equal(host.guestRead(disk, 0, 4).toString(), 'raw\0');
  });

  it('exports a VHD, sends elsewhere, or breaks behind its 200', async () => {
    host.guestWrite(disk, 2 * MIB, Buffer.from('x'));
    const path = `/export_raw_vdi?session_id=${client.session}&vdi=${disk}&format=vhd`;
    const vhd = await client.http({ path });
    assert.equal(vhd.status, 200);
    assert.equal(vhd.headers['content-length'], undefined);
    assert.equal(vhd.headers['transfer-encoding'], undefined);
    assert.equal(vhd.body.length, 2048 + 512 + 2 * MIB + 512);

    host.faults.exportBreaks = true;
    const broken = await client.http({ path });
    assert.deepEqual([broken.status, broken.body.toString('latin1', 0, 12)], [200, 'HTTP/1.1 500']);

    const member = await host.addMember();
    host.faults.redirect = member.url;
    const moved = await client.http({ path });
    assert.deepEqual([moved.status, moved.headers['location']], [302, `${member.url}${path}`]);
  });

  it('can leave a task stuck, cancelled or failed', async () => {
    for (const outcome of ['stuck', 'cancelled', ['VDI_IO_ERROR', 'x']] as const) {
      host.faults.task({ name: 'import_raw_vdi', outcome, times: 1 });
    }
    for (const status of ['pending', 'cancelled', 'failure']) {
      task = await client.text('task.create', 'restore', '');
      assert.equal((await upload(Buffer.from('raw'))).status, 200);
      assert.equal(await client.call('task.get_status', task), status);
    }
  });

  async function upload(body: Buffer, more = '') {
    const path = `/import_raw_vdi?session_id=${client.session}&task_id=${task}&vdi=${disk}&format=raw&${more}`;
    return await client.http({ method: 'PUT', path, headers: { 'content-length': body.length } }, body);
  }
});

describe('ChunkedBodyDecoder', () => {
  it('finds the same bytes wherever the stream is cut', () => {
    const whole = Buffer.concat([
      chunk(5, Buffer.from('hello')),
      chunk(2 ** 40, Buffer.from('far')),
      chunk(0, Buffer.alloc(0)),
    ]);
    for (let cut = 0; cut <= whole.length; cut++) {
      const decoder = new ChunkedBodyDecoder();
      const placed = [whole.subarray(0, cut), whole.subarray(cut)].flatMap((part) => [...decoder.push(part)]);
      decoder.end();
      const bytes = placed.flatMap(({ offset, bytes: piece }) => [...piece].map((byte, at) => [offset + at, byte]));
      assert.deepEqual(bytes, [
        ...[...Buffer.from('hello')].map((byte, at) => [5 + at, byte]),
        ...[...Buffer.from('far')].map((byte, at) => [2 ** 40 + at, byte]),
      ]);
    }
  });
});

function chunk(offset: number, data: Buffer): Buffer {
  const header = Buffer.alloc(12);
  writeUInt64LE(header, offset, 0);
  header.writeUInt32LE(data.length, 8);
  return Buffer.concat([header, data]);
}
