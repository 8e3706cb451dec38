import assert from 'node:assert/strict';
import { link, lstat, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { MemoryExport, openRaw } from '../../testing/index.js';
import { NbdServer } from './server.js';
import type { NbdServerOptions } from './server-options.js';
import { listenOnUnixSocket } from './unix-socket.js';

describe('the unix socket of an NBD server', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-socket-'));
    path = join(folder, 'nbd.sock');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const listen = (options: Partial<NbdServerOptions> = {}): Promise<NbdServer> =>
    NbdServer.listen({
      address: { kind: 'unix', path },
      open: async () => new MemoryExport({ size: 4096 }),
      ...options,
    });

  /** A socket that a killed server left. */
  const leaveStale = async (): Promise<void> => {
    // An ordinary end of the server takes the name away, so it gets another one first.
    const server = net.createServer().listen(`${path}.first`);
    await new Promise((resolve) => server.once('listening', resolve));
    await link(`${path}.first`, path);
    await new Promise((resolve) => server.close(resolve));
    assert.deepEqual(await readdir(folder), ['nbd.sock']);
  };

  it('has the permissions that were asked for, and those of its owner alone by default', async () => {
    for (const [socketMode, seen] of [
      [undefined, 0o600],
      [0o660, 0o660],
      [0o777, 0o777],
    ] as const) {
      await using _server = await listen({ socketMode });
      assert.equal((await lstat(path)).mode % 0o1000, seen);
      assert.deepEqual(await readdir(folder), ['nbd.sock'], 'and nothing else is left there');
    }
    assert.deepEqual(await readdir(folder), []);
  });

  it('is made in the folder that it appears in: the one above may be of others, or another file system', async () => {
    const server = net.createServer();
    const release = await listenOnUnixSocket(server, { path, mode: 0o600 });
    const made = server.address();
    await new Promise((resolve) => server.close(resolve));
    await release();
    assert.ok(typeof made === 'string');
    assert.equal(dirname(dirname(made)), folder);
  });

  it('can never be seen with other permissions than those', async () => {
    const seen = new Int32Array(new SharedArrayBuffer(8));
    const watcher = new Worker(
      `const { workerData: { path, seen } } = require('node:worker_threads');
       const { lstatSync } = require('node:fs');
       while (Atomics.load(seen, 0) === 0) {
         const found = lstatSync(path, { throwIfNoEntry: false });
         if (found !== undefined && (found.mode & 0o777) !== 0o640) Atomics.add(seen, 1, 1);
         Atomics.load(seen, 1);
       }`,
      { eval: true, workerData: { path, seen } },
    );
    await new Promise((resolve) => watcher.once('online', resolve));
    for (let round = 0; round < 200; round += 1) {
      await using _server = await listen({ socketMode: 0o640 });
    }
    Atomics.store(seen, 0, 1);
    await new Promise((resolve) => watcher.once('exit', resolve));
    assert.equal(Atomics.load(seen, 1), 0);
  });

  it('replaces what a dead server left, and nothing that lives or is no socket', async () => {
    await leaveStale();
    {
      await using server = await listen();
      using client = await openRaw(server.address);
      assert.ok(client.socket.writable);
      await assert.rejects(listen(), {
        code: 'VB_NBD_SERVER_LISTEN',
        message: /somebody listens on/,
        cure: /stop the/,
      });
      using still = await openRaw(server.address);
      assert.ok(still.socket.writable, 'the one that was there goes on');
    }
    for (const make of [() => writeFile(path, 'precious'), () => symlink('/nowhere', path), () => mkdir(path)]) {
      await make();
      await assert.rejects(listen(), { code: 'VB_NBD_SERVER_LISTEN', message: /is no socket/ });
      assert.deepEqual(await readdir(folder), ['nbd.sock']);
      await rm(path, { recursive: true });
    }
  });

  it('is had by one of many servers that find a dead one', async () => {
    for (let round = 0; round < 10; round += 1) {
      await leaveStale();
      const tries = await Promise.allSettled(Array.from({ length: 6 }, () => listen()));
      const servers = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      for (const server of servers.slice(1)) await server.close();
      assert.equal(servers.length, 1);
      for (const one of tries) if (one.status === 'rejected') assert.equal(one.reason.code, 'VB_NBD_SERVER_LISTEN');
      using client = await openRaw({ kind: 'unix', path });
      assert.ok(client.socket.writable);
      await servers[0]?.close();
      assert.deepEqual(await readdir(folder), []);
    }
  });

  it('leaves what took its name meanwhile', async () => {
    const server = await listen();
    await rm(path);
    await writeFile(path, 'precious');
    await server.close();
    assert.deepEqual(await readdir(folder), ['nbd.sock']);
  });

  it('refuses a path that no client could connect to, and a folder that is not there', async () => {
    const long = join(folder, 'x'.repeat(108 - folder.length));
    await assert.rejects(listen({ address: { kind: 'unix', path: long } }), {
      code: 'VB_NBD_SERVER_LISTEN',
      message: /has 109 bytes, at most 107/,
    });
    await assert.rejects(listen({ address: { kind: 'unix', path: '/no/such/folder/nbd.sock' } }), {
      code: 'VB_NBD_SERVER_LISTEN',
      message: /cannot listen on/,
    });
    assert.deepEqual(await readdir(folder), []);
  });
});
