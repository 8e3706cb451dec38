import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import {
  clientFlags,
  clientOption,
  clientRequest,
  Deferred,
  GREETING_LENGTH,
  infoData,
  MemoryExport,
  openRaw,
  RawClient,
  takeOptionReply,
} from '../../testing/index.js';
import type { NbdExport } from './export.js';
import { NbdServer } from './server.js';
import type { NbdServerOptions } from './server-options.js';

const SIZE = 1024 * 1024;
const REPLY_LENGTH = 16;

describe('NbdServer', () => {
  it('answers requests as they finish, not as they came', async () => {
    const slow = new Deferred();
    const disk = exportOf({ read: async (offset) => (offset === 0 ? await slow.promise : undefined) });
    await using server = await listen(disk);
    using client = await openRaw(server.address);
    client.send(read(1n, 0), read(2n, 512));
    assert.equal((await client.take(REPLY_LENGTH + 512)).readBigUInt64BE(8), 2n);
    slow.resolve();
    assert.equal((await client.take(REPLY_LENGTH + 512)).readBigUInt64BE(8), 1n);
  });

  it('holds a client back that asks for too much at once, in number and in bytes', async () => {
    for (const limits of [{ maximumRequestsInFlight: 3 }, { maximumBytesInFlight: 1536, maximumRequest: 512 }]) {
      const started = { now: 0, most: 0 };
      const gate = new Deferred();
      const disk = exportOf({
        read: async () => {
          started.now += 1;
          started.most = Math.max(started.most, started.now);
          await gate.promise;
          started.now -= 1;
        },
      });
      await using server = await listen(disk, limits);
      using client = await openRaw(server.address);
      client.send(...Array.from({ length: 20 }, (_, index) => read(BigInt(index), 0)));
      while (started.now < 3) await new Promise(setImmediate);
      for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
      assert.equal(started.most, 3);
      gate.resolve();
      assert.equal((await client.take(20 * (REPLY_LENGTH + 512))).length, 20 * (REPLY_LENGTH + 512));
      assert.equal(started.most, 3);
    }
  });

  it('answers a long read with what the export lends, and gives it back when it has left', async () => {
    const length = 128 * 1024;
    const parts = [Buffer.alloc(100_000, 'a'), Buffer.alloc(length - 100_000, 'b')];
    const state = { lent: 0, back: 0 };
    const disk = exportOf({
      lend: async (range) => {
        if (range.offset > 0) return undefined;
        state.lent += 1;
        return { parts, [Symbol.dispose]: () => void (state.back += 1) };
      },
      read: async (_offset, target) => void target.fill('c'),
    });
    await using server = await listen(disk);
    using client = await openRaw(server.address);
    const content = async (offset: number, bytes: number): Promise<string> => {
      client.send(clientRequest({ type: 0, offset, length: bytes }));
      const reply = await client.take(REPLY_LENGTH + bytes);
      return reply.toString('latin1', REPLY_LENGTH).replace(/(.)\1*/g, '$1');
    };
    assert.equal(await content(0, length), 'ab');
    assert.equal(await content(512, length), 'c', 'what is not lent');
    assert.equal(await content(0, 4096), 'c', 'what is short');
    while (state.back < state.lent) await new Promise(setImmediate);
    assert.deepEqual(state, { lent: 1, back: 1 });
  });

  it('answers a loan that fails as a read that fails, once', async () => {
    const errors: unknown[] = [];
    const fail = async (): Promise<never> => {
      throw new VBackupError('VB_FRAME_DIGEST', 'digest differs');
    };
    await using server = await listen(exportOf({ lend: fail, read: fail }), {
      onExportError: (error) => errors.push(error),
    });
    using client = await openRaw(server.address);
    client.send(clientRequest({ type: 0, length: 65_536 }));
    assert.equal((await client.take(REPLY_LENGTH)).readUInt32BE(4), 5);
    assert.equal(errors.length, 1);
  });

  it('opens an export once for a client that asks several times, and closes it once', async () => {
    const disk = new MemoryExport({ size: SIZE });
    let opened = 0;
    await using server = await listen(disk, {
      open: async () => {
        opened += 1;
        return disk;
      },
    });
    using client = RawClient.connect(server.address).send(
      clientFlags(),
      clientOption(6, infoData('')),
      clientOption(6, infoData('')),
      clientOption(7, infoData('')),
      clientRequest({ type: 2 }),
    );
    await client.rest();
    assert.deepEqual({ opened, closed: disk.calls.close }, { opened: 1, closed: 1 });
    using asker = RawClient.connect(server.address).send(clientFlags(), clientOption(6, infoData('')), clientOption(2));
    await asker.rest();
    assert.deepEqual({ opened, closed: disk.calls.close }, { opened: 2, closed: 2 });
  });

  it('tells a client why there is no export, and lets it ask again', async () => {
    const failures: Record<string, Error> = {
      forbidden: new VBackupError('VB_ACCESS_DENIED', 'not yours'),
      broken: new Error('a secret path'),
    };
    await using server = await listen(exportOf(), {
      open: async (name) => {
        if (failures[name] !== undefined) throw failures[name];
        return null;
      },
    });
    using client = RawClient.connect(server.address).send(clientFlags());
    await client.take(GREETING_LENGTH);
    const asked = async (name: string) => {
      const { type, data } = await takeOptionReply(client.send(clientOption(7, infoData(name))));
      return [type, data.toString()];
    };
    assert.deepEqual(await asked('missing'), [0x80000006, 'there is no such export']);
    assert.deepEqual(await asked('forbidden'), [0x80000002, 'not yours']);
    assert.deepEqual(await asked('broken'), [0x80000004, 'the export cannot be opened']);
  });

  it('demands that block sizes are heard where blocks are large', async () => {
    await using server = await listen(new MemoryExport({ size: SIZE, minimumBlock: 4096 }));
    using client = RawClient.connect(server.address).send(clientFlags(), clientOption(7, infoData('')));
    await client.take(GREETING_LENGTH);
    assert.equal((await takeOptionReply(client)).type, 0x80000008);
    client.send(clientOption(7, infoData('', [3])));
    assert.equal((await takeOptionReply(client)).data.readUInt16BE(0), 0);
    const sizes = await takeOptionReply(client);
    assert.deepEqual([sizes.data.readUInt32BE(2), sizes.data.readUInt32BE(10)], [4096, 32 * 1024 * 1024]);
  });

  it('refuses what is out of range, unaligned, unknown or not offered, and the connection lives', async () => {
    const disk = new MemoryExport({ size: SIZE, minimumBlock: 512, maximumBlock: 4096 });
    await using server = await listen(disk);
    using client = await openRaw(server.address);
    const refused: readonly (readonly [string, Parameters<typeof clientRequest>[0], number])[] = [
      ['a read at the end', { type: 0, offset: SIZE, length: 512 }, 22],
      ['a read over the end', { type: 0, offset: SIZE - 512, length: 1024 }, 22],
      ['a read far beyond', { type: 0, offset: 2n ** 64n - 512n, length: 512 }, 22],
      ['an unaligned read', { type: 0, offset: 1, length: 512 }, 22],
      ['an unaligned length', { type: 0, offset: 0, length: 100 }, 22],
      ['a read that is too long', { type: 0, offset: 0, length: 8192 }, 22],
      ['a flag of another command', { type: 0, flags: 8, offset: 0, length: 512 }, 22],
      ['a flag that nobody knows', { type: 0, flags: 0x8000, offset: 0, length: 512 }, 22],
      ['a trim over the end', { type: 4, offset: SIZE - 512, length: 1024 }, 22],
      ['zeroes over the end', { type: 6, offset: SIZE - 512, length: 1024 }, 28],
      ['cache', { type: 5, offset: 0, length: 512 }, 22],
      ['block status without a context', { type: 7, offset: 0, length: 512 }, 22],
      ['an unknown command', { type: 4711 }, 22],
    ];
    for (const [what, request, error] of refused) {
      const reply = await client.send(clientRequest({ ...request, cookie: 9n })).take(REPLY_LENGTH);
      assert.deepEqual([what, reply.readUInt32BE(4), reply.readBigUInt64BE(8)], [what, error, 9n]);
    }
    client.send(clientRequest({ type: 1, offset: SIZE, length: 512 }), Buffer.alloc(512));
    assert.equal((await client.take(REPLY_LENGTH)).readUInt32BE(4), 28, 'a write at the end');
    client.send(read(1n, 0));
    assert.equal((await client.take(REPLY_LENGTH + 512)).readUInt32BE(4), 0);
    assert.deepEqual(disk.calls, { read: 1, write: 0, zero: 0, trim: 0, flush: 0, fua: 0, status: 0, close: 0 });
  });

  it('refuses every change of a read-only export', async () => {
    const disk = new MemoryExport({ size: SIZE, readOnly: true });
    await using server = await listen(disk);
    using client = await openRaw(server.address);
    client.send(clientRequest({ type: 1, length: 512 }), Buffer.alloc(512));
    client.send(clientRequest({ type: 4, length: 512 }), clientRequest({ type: 6, length: 512 }));
    const replies = await client.take(3 * REPLY_LENGTH);
    assert.deepEqual([replies.readUInt32BE(4), replies.readUInt32BE(20), replies.readUInt32BE(36)], [1, 1, 1]);
    assert.equal(disk.calls.write + disk.calls.trim + disk.calls.zero, 0);
  });

  it('turns the errors of an export into those of NBD', async () => {
    const heard: unknown[] = [];
    const errors: readonly (readonly [Error, number])[] = [
      [new VBackupError('VB_NO_SPACE', 'full'), 28],
      [new VBackupError('VB_ACCESS_DENIED', 'no'), 1],
      [new VBackupError('VB_UNSUPPORTED', 'no'), 95],
      [new VBackupError('VB_IO', 'no'), 5],
      [Object.assign(new Error('no'), { code: 'ENOSPC' }), 28],
      [Object.assign(new Error('no'), { code: 'EROFS' }), 1],
      [Object.assign(new Error('no'), { code: 'EIO' }), 5],
      [new TypeError('a defect'), 5],
    ];
    const disk = exportOf({
      read: async (offset) => {
        throw errors[offset]?.[0] ?? new Error('?');
      },
    });
    await using server = await listen(disk, { onExportError: (error) => heard.push(error) });
    using client = await openRaw(server.address);
    for (const [index, [, expected]] of errors.entries()) {
      const reply = await client.send(clientRequest({ type: 0, offset: index, length: 1 })).take(REPLY_LENGTH);
      assert.equal(reply.readUInt32BE(4), expected, String(errors[index]));
    }
    assert.deepEqual(
      heard,
      errors.map(([error]) => error),
    );
  });

  it('aborts what an export does for a client that is gone', async () => {
    const aborted = new Deferred();
    const disk = exportOf({
      read: async (_offset, _target, options) => {
        assert.ok(options?.signal !== undefined);
        await once(options.signal, 'abort');
        aborted.resolve();
        throw options.signal.reason;
      },
    });
    await using server = await listen(disk);
    const client = await openRaw(server.address);
    client.send(read(1n, 0)).socket.destroy();
    await aborted.promise;
    while (server.connections > 0) await new Promise(setImmediate);
    assert.equal(disk.closed, 1);
  });

  it('answers what a client asked before it said that it leaves, also when it sends no more', async () => {
    const slow = new Deferred();
    const disk = exportOf({ read: async (_offset, target) => void target.fill(await slow.promise.then(() => 7)) });
    await using server = await listen(disk);
    const { address } = server;
    assert.ok(address.kind === 'tcp');
    using client = new RawClient(net.connect({ port: address.port, host: address.host, allowHalfOpen: true }));
    client.send(clientFlags(), clientOption(1), read(1n, 0), clientRequest({ type: 2 }));
    client.socket.end();
    await client.take(GREETING_LENGTH + 10);
    await new Promise((resolve) => setTimeout(resolve, 20));
    slow.resolve();
    const reply = await client.rest();
    assert.deepEqual([reply.length, reply.at(-1)], [REPLY_LENGTH + 512, 7]);
  });

  it('lets requests finish when it closes, and takes no more', async () => {
    const gate = new Deferred();
    const begun = new Deferred();
    const disk = exportOf({
      read: async () => {
        begun.resolve();
        await gate.promise;
      },
    });
    const server = await listen(disk);
    using client = await openRaw(server.address);
    client.send(read(1n, 0));
    await begun.promise;
    const closed = server.close();
    assert.equal(server.close(), closed, 'closing twice is closing once');
    client.send(read(2n, 0));
    gate.resolve();
    assert.equal((await client.rest()).length, REPLY_LENGTH + 512, 'one reply, then the end');
    await closed;
    assert.equal(disk.closed, 1);
    assert.equal((await RawClient.connect(server.address).rest()).length, 0, 'nobody listens');
  });

  it('takes none of what a client asked for ahead, once it closes', async () => {
    let begun = 0;
    const gate = new Deferred();
    const disk = exportOf({
      read: async () => {
        begun += 1;
        await gate.promise;
      },
    });
    const server = await listen(disk, { maximumRequestsInFlight: 2 });
    using client = await openRaw(server.address);
    client.send(...Array.from({ length: 500 }, (_, index) => read(BigInt(index), 0)));
    while (begun < 2) await new Promise(setImmediate);
    const closed = server.close();
    gate.resolve();
    const replies = (await client.rest()).length / (REPLY_LENGTH + 512);
    await closed;
    // One more had been read, and waited for its turn.
    assert.ok(begun <= 3, `${begun} requests were begun`);
    assert.equal(replies, begun, 'what was begun is answered');
  });

  it('closes in bounded time, whatever an export does', async () => {
    const disk = exportOf({ read: () => new Promise(() => undefined) });
    const server = await listen(disk, { closeTimeoutMs: 20 });
    using client = await openRaw(server.address);
    client.send(read(1n, 0));
    await new Promise(setImmediate);
    await server.close();
    assert.equal((await client.rest()).length, 0);
  });

  it('serves a unix socket, and takes it away when it closes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-nbd-'));
    const address = { kind: 'unix', path: join(folder, 'nbd.sock') } as const;
    const server = await listen(exportOf(), { address });
    assert.deepEqual(server.address, address);
    using client = await openRaw(address);
    assert.equal((await client.send(read(1n, 0)).take(REPLY_LENGTH + 512)).length, REPLY_LENGTH + 512);
    await server.close();
    await assert.rejects(access(address.path), { code: 'ENOENT' });
    await rm(folder, { recursive: true });
  });

  it('cannot listen where somebody listens', async () => {
    await using server = await listen(exportOf());
    await assert.rejects(listen(exportOf(), { address: server.address }), {
      code: 'VB_NBD_SERVER_LISTEN',
      message: /: EADDRINUSE$/,
    });
  });
});

const read = (cookie: bigint, offset: number): Buffer => clientRequest({ type: 0, cookie, offset, length: 512 });

function listen(disk: NbdExport, options: Partial<NbdServerOptions> = {}): Promise<NbdServer> {
  return NbdServer.listen({ address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, open: async () => disk, ...options });
}

/** A read-only disk of which a test says what it does. */
function exportOf(parts: Partial<NbdExport> = {}): NbdExport & { closed: number } {
  return {
    name: '',
    size: SIZE,
    readOnly: true,
    read: async (_offset, target) => void target.fill(0),
    closed: 0,
    async close() {
      this.closed += 1;
    },
    ...parts,
  };
}
