import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skipEverywhere } from '../../testing/index.js';
import { type Listener, listenOn } from './listener.js';
import { enlargeSendBuffer } from './send-buffer.js';

const KiB = 1024;
/** More than Linux holds by default, and less than it holds after all where `net.core.wmem_max` is lowest. */
const REPLY_LENGTH = 256 * KiB;

describe('the send buffer of a unix socket', () => {
  let folder: string;
  let path: string;
  let listener: Listener | undefined;
  const sockets: net.Socket[] = [];
  before(function () {
    if (process.platform !== 'linux') skipEverywhere(this, 'the send buffer is enlarged on Linux alone');
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-send-buffer-'));
    path = join(folder, 'server.sock');
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    listener?.server.close();
    await listener?.release();
    listener = undefined;
    await rm(folder, { recursive: true });
  });

  /** A server's socket whose client reads nothing. */
  const accept = async (): Promise<net.Socket> => {
    const accepted = Promise.withResolvers<net.Socket>();
    listener = await listenOn({ address: { kind: 'unix', path } }, accepted.resolve);
    const client = net.connect(path).pause();
    sockets.push(client);
    await once(client, 'connect');
    const socket = await accepted.promise;
    sockets.push(socket);
    return socket;
  };

  it('holds a whole reply that the client has not begun to read', async () => {
    const socket = await accept();
    await new Promise((resolve) => socket.write(Buffer.alloc(REPLY_LENGTH), resolve));
    assert.equal(socket.writableLength, 0);
  });

  it('stays bounded: what a client does not read waits here', async () => {
    const socket = await accept();
    socket.write(Buffer.alloc(4 * KiB * KiB));
    await new Promise(setImmediate);
    assert.ok(socket.writableLength > 0);
  });

  it('is left alone where there is no descriptor to ask with', async () => {
    const socket = await accept();
    assert.equal(enlargeSendBuffer(socket), true);
    for (const handle of [undefined, null, {}, { fd: -1 }, { fd: '7' }]) {
      assert.equal(enlargeSendBuffer(Object.assign(new net.Socket(), { _handle: handle })), false);
    }
    // A descriptor that is no socket.
    assert.equal(enlargeSendBuffer(Object.assign(new net.Socket(), { _handle: { fd: 0x7fff_0000 } })), false);
  });
});
