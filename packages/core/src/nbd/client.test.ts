import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import {
  chunk,
  errorBody,
  greeting,
  longWord,
  optionReply,
  type ScriptedExport,
  ScriptedNbdServer,
  type ScriptedPeer,
  type SeenRequest,
  simpleReply,
  statusBody,
} from '../testing/index.js';
import { NbdClient } from './client.js';
import type { NbdConnectOptions } from './connect-options.js';
import {
  NBD_CMD_DISC,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_EIO,
  NBD_ESHUTDOWN,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_SEND_FLUSH,
  NBD_OPT_STARTTLS,
  NBD_REP_ACK,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
} from './words.js';

const KiB = 1024;
const WRITABLE = NBD_FLAG_HAS_FLAGS + NBD_FLAG_SEND_FLUSH;

type Answer = (peer: ScriptedPeer, request: SeenRequest, index: number) => Promise<void> | void;

/** A server that negotiates as it should, and then answers with `answer`. */
function serve(answer: Answer, shown: ScriptedExport = {}): Promise<ScriptedNbdServer> {
  return ScriptedNbdServer.start(async (peer, index) => {
    await peer.negotiate(shown);
    for (;;) await answer(peer, await peer.request(), index);
  });
}

const connect = (server: ScriptedNbdServer, more: Partial<NbdConnectOptions> = {}): Promise<NbdClient> =>
  NbdClient.connect({ address: server.address, exportName: '', ...more });

/** The byte that stands at `offset` on every scripted disk. */
const contentOf = ({ offset, length }: { readonly offset: number; readonly length: number }): Buffer =>
  Buffer.alloc(length, Math.floor(offset / KiB) % 251);

const dataOf = (request: SeenRequest, bytes = contentOf(request)): Buffer =>
  chunk(request.cookie, NBD_REPLY_TYPE_OFFSET_DATA, { body: Buffer.concat([longWord(request.offset), bytes]) });

const honest: Answer = (peer, request) => peer.write(dataOf(request));

async function assertReads(client: NbdClient, offset = 0, length = 4 * KiB): Promise<void> {
  const target = Buffer.alloc(length, 0xee);
  await client.read(offset, target);
  assert.ok(target.equals(contentOf({ offset, length })));
}

function withResolvers<Value>(): { readonly promise: Promise<Value>; readonly resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('NbdClient', () => {
  it('sends a request that waited for company when one before it is answered, whatever comes behind it', async () => {
    const half = 8;
    const count = 2 * half - 1;
    const offsetOf = (at: number): number => at * 4 * KiB;
    await using server = await ScriptedNbdServer.start(async (peer) => {
      await peer.negotiate();
      const held: SeenRequest[] = [];
      for (;;) {
        held.push(await peer.request());
        if (held.length < half) continue;
        // The later ones are asked for meanwhile, and wait: enough for a server are here.
        if (held[0]?.offset === 0) await delay(100);
        for (const request of held.splice(0, 1)) peer.write(dataOf(request));
        if (held.at(-1)?.offset !== offsetOf(count - 1)) continue;
        for (const request of held.splice(0)) peer.write(dataOf(request));
      }
    });
    await using client = await connect(server);
    const reads = Array.from({ length: half }, (_, at) => assertReads(client, offsetOf(at)));
    await delay(20);
    for (let at = half; at < count; at += 1) reads.push(assertReads(client, offsetOf(at)));
    await Promise.all(reads);
  });

  it('puts answers that come out of order where they belong', async () => {
    const held: SeenRequest[] = [];
    await using server = await serve((peer, request) => {
      held.push(request);
      if (held.length === 8) peer.write(...held.reverse().map((each) => dataOf(each)));
    });
    await using client = await connect(server);
    await Promise.all(Array.from({ length: 8 }, (_, index) => assertReads(client, index * 100 * KiB, 100 * KiB)));
  });

  it('does without a further connection that is accepted and never greeted', async () => {
    await using server = await ScriptedNbdServer.start(async (peer, index) => {
      if (index > 0) return peer.gone();
      await peer.negotiate({ flags: NBD_FLAG_HAS_FLAGS + NBD_FLAG_CAN_MULTI_CONN });
      for (;;) await honest(peer, await peer.request(), index);
    });
    await using client = await connect(server, { connections: 3, furtherHandshakeTimeoutMs: 50 });
    assert.equal(client.connections, 1);
    assert.equal(server.connections, 2);
    await assertReads(client);
  });

  describe('that reads several pieces at once', () => {
    const OFFSETS = [8 * KiB, 0, 100 * KiB, 40 * KiB];
    const piecesOf = (): { readonly offset: number; readonly target: Buffer }[] =>
      OFFSETS.map((offset) => ({ offset, target: Buffer.alloc(4 * KiB, 0xee) }));
    const isUntouched = ({ target }: { readonly target: Buffer }): boolean => target.every((byte) => byte === 0xee);

    it('puts each where it belongs, in whatever order it comes', async () => {
      const held: SeenRequest[] = [];
      await using server = await serve((peer, request) => {
        held.push(request);
        if (held.length === OFFSETS.length) peer.write(...held.reverse().map((each) => dataOf(each)));
      });
      await using client = await connect(server);
      const pieces = piecesOf();
      await client.readAll(pieces);
      for (const { offset, target } of pieces) assert.ok(target.equals(contentOf({ offset, length: target.length })));
      await client.readAll([]);
      const beyond = [
        { offset: 0, target: Buffer.alloc(8) },
        { offset: client.size, target: Buffer.alloc(8) },
      ];
      await assert.rejects(client.readAll(beyond), { code: 'VB_INVALID_ARGUMENT' });
    });

    it('fails with the first that fails, and leaves alone what comes late', async () => {
      const late: SeenRequest[] = [];
      const failed = withResolvers<null>();
      await using server = await serve(async (peer, request) => {
        if (request.offset === 12 * KiB) return honest(peer, request, 0);
        if (request.offset === OFFSETS[1]) {
          return peer.write(chunk(request.cookie, NBD_REPLY_TYPE_ERROR, { body: errorBody(NBD_EIO, 'bad') }));
        }
        late.push(request);
        if (late.length < OFFSETS.length - 1) return;
        await failed.promise;
        peer.write(...late.map((each) => dataOf(each)));
      });
      await using client = await connect(server);
      const pieces = piecesOf();
      await assert.rejects(client.readAll(pieces), { code: 'VB_NBD_REQUEST_FAILED' });
      failed.resolve(null);
      await assertReads(client, 12 * KiB);
      assert.ok(pieces.every(isUntouched));
      assert.equal(server.connections, 1);
    });

    it('does not ask again for the others when one has ended the connection too often', async () => {
      const asked: string[] = [];
      await using server = await serve(async (peer, request, index) => {
        asked.push(`${index}: ${request.offset / KiB}`);
        if (index === 2) return honest(peer, request, index);
        if (request.offset !== OFFSETS[0]) return;
        const answer = dataOf(request);
        peer.write(answer.subarray(0, answer.length / 2));
        await delay(20);
        peer.socket.destroy();
        await peer.gone();
      });
      await using client = await connect(server);
      const pieces = piecesOf();
      await assert.rejects(client.readAll(pieces), { code: 'VB_NBD_REQUEST_FAILED' });
      await assertReads(client, 12 * KiB);
      assert.deepEqual(asked.at(-1), '2: 12');
      assert.equal(asked.filter((each) => each.startsWith('2')).length, 1);
      assert.ok(pieces.slice(1).every(isUntouched));
    });

    it('touches nothing after it is aborted', async () => {
      const stop = new AbortController();
      const held: SeenRequest[] = [];
      await using server = await serve((peer, request) => {
        if (request.offset === 12 * KiB) return peer.write(...held.map((each) => dataOf(each)), dataOf(request));
        held.push(request);
        if (held.length === OFFSETS.length) stop.abort(new Error('enough'));
      });
      await using client = await connect(server);
      const pieces = piecesOf();
      await assert.rejects(client.readAll(pieces, { signal: stop.signal }), /enough/);
      await assertReads(client, 12 * KiB);
      assert.ok(pieces.every(isUntouched));
      await assert.rejects(client.readAll(pieces, { signal: stop.signal }), /enough/);
    });
  });

  it('sends the headers of one turn in one write', async () => {
    let writes = 0;
    await using server = await serve(honest);
    await using client = await connect(server);
    await using observed = await ScriptedNbdServer.start(async (peer) => {
      await peer.negotiate();
      peer.socket.on('data', () => writes++);
      for (;;) await honest(peer, await peer.request(), 0);
    });
    await using other = await connect(observed);
    await Promise.all(Array.from({ length: 8 }, (_, index) => assertReads(other, index * KiB, KiB)));
    await assertReads(client);
    assert.equal(writes, 1);
  });

  it('keeps the requests in flight bounded, in number and in bytes', async () => {
    let waiting = 0;
    let bytes = 0;
    let most = 0;
    let mostBytes = 0;
    const answer: Answer = async (peer, request) => {
      waiting++;
      bytes += request.length;
      most = Math.max(most, waiting);
      mostBytes = Math.max(mostBytes, bytes);
      // Answers later, and meanwhile reads what else was sent.
      void delay(1).then(() => {
        waiting--;
        bytes -= request.length;
        peer.write(dataOf(request));
      });
    };
    await using server = await serve(answer, { size: 64 * KiB * KiB });
    await using client = await connect(server);
    await Promise.all(Array.from({ length: 100 }, (_, index) => assertReads(client, index * KiB, KiB)));
    assert.ok(most > 1 && most <= 16, `${most} at once`);
    await client.read(0, Buffer.alloc(16 * KiB * KiB));
    assert.ok(mostBytes > KiB * KiB && mostBytes <= 4 * KiB * KiB, `${mostBytes} bytes at once`);
  });

  it('says goodbye', async () => {
    const last = withResolvers<number>();
    await using server = await serve((_peer, request) => last.resolve(request.command));
    const client = await connect(server);
    await client.close();
    assert.equal(await last.promise, NBD_CMD_DISC);
    await assert.rejects(client.read(0, Buffer.alloc(8)), { code: 'VB_NBD_CLOSED' });
  });

  it('fails what is in flight when it is closed', async () => {
    await using server = await serve(() => {});
    const client = await connect(server);
    const read = client.read(0, Buffer.alloc(8));
    await Promise.all([assert.rejects(read, { code: 'VB_NBD_CLOSED' }), delay(5).then(() => client.close())]);
  });

  it('refuses a disk whose tail it could not read', async () => {
    await using server = await serve(honest, { size: 4096 + 512, blockSizes: [4096, 4096, 65_536] });
    await assert.rejects(connect(server), { code: 'VB_NBD_BLOCK_SIZE' });
    await using xapi = await serve(honest, { size: 1000 });
    await assert.rejects(connect(xapi, { minimumAlignment: 512 }), { code: 'VB_NBD_BLOCK_SIZE' });
  });

  it('follows a context whose answers are short, from where it ended', async () => {
    const asked: number[] = [];
    const answer: Answer = (peer, { cookie, offset, length }) => {
      asked.push(offset);
      const short = Math.min(length, 3 * KiB);
      const flags = Math.floor(offset / (6 * KiB)) % 2;
      const own = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [short, flags]), done: false });
      const other = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(2, [length, 3]) });
      peer.write(own, other);
    };
    const contexts = ['qemu:dirty-bitmap:b', 'base:allocation'];
    await using server = await serve(answer, { size: 12 * KiB, contexts });
    await using client = await connect(server);
    const extents = [];
    for await (const extent of client.blockStatus('qemu:dirty-bitmap:b', { offset: 0, length: 12 * KiB })) {
      extents.push(extent);
    }
    assert.deepEqual(asked, [0, 3 * KiB, 6 * KiB, 9 * KiB]);
    assert.deepEqual(
      extents.map(({ offset, length, flags }) => ({ offset, length, flags })),
      [
        { offset: 0, length: 6 * KiB, flags: 0 },
        { offset: 6 * KiB, length: 6 * KiB, flags: 1 },
      ],
    );
  });

  it('asks several questions about a large disk at once, and tells all contexts of one answer, each in order', async () => {
    const TiB = 2 ** 40;
    const asked: { readonly offset: number; readonly length: number }[] = [];
    const waiting: (() => void)[] = [];
    let mostWaiting = 0;
    const answer: Answer = (peer, { cookie, offset, length }) => {
      asked.push({ offset, length });
      // The bitmap's answer ends early where it begins on a whole TiB, as that of a fragmented one does.
      const short = offset % TiB === 0 ? 4 * KiB : length;
      const own = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, {
        body: statusBody(1, [short, offset % TiB === 4 * KiB ? 1 : 0]),
        done: false,
      });
      const other = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(2, [length, 3]) });
      waiting.push(() => peer.write(own, other));
      mostWaiting = Math.max(mostWaiting, waiting.length);
      if (waiting.length > 1) return;
      // What is asked at once is answered in the wrong order.
      setTimeout(() => {
        for (const go of waiting.splice(0).toReversed()) go();
      }, 1);
    };
    const [bitmap, allocation] = ['qemu:dirty-bitmap:b', 'base:allocation'] as const;
    const size = TiB + TiB / 64;
    await using server = await serve(answer, { size, contexts: [bitmap, allocation] });
    await using client = await connect(server);
    const told = new Map<string, { offset: number; length: number; flags: number }[]>([
      [bitmap, []],
      [allocation, []],
    ]);
    for await (const { context, ...extent } of client.blockStatus([bitmap, allocation], { offset: 0, length: size })) {
      told.get(context)?.push(extent);
    }
    assert.deepEqual(told.get(allocation), [{ offset: 0, length: size, flags: 3 }]);
    const [first, dirty, ...rest] = told.get(bitmap) ?? [];
    assert.deepEqual(first, { offset: 0, length: 4 * KiB, flags: 0 });
    assert.ok(
      dirty !== undefined && dirty.flags === 1,
      'the rest of the first question is asked for before the second is told',
    );
    assert.equal(
      rest.reduce((sum, { length }) => sum + length, dirty.offset + dirty.length),
      size,
    );
    assert.ok(mostWaiting > 1 && mostWaiting <= 8, `${mostWaiting} at once`);
    assert.ok(asked.every(({ length }) => length < 2 ** 31));
    assert.ok(asked.length < 530, `${asked.length} questions`);
  });
});

describe('NbdClient and a server that breaks the protocol', () => {
  const breaches: readonly (readonly [string, Answer, string])[] = [
    ['garbage', (peer) => peer.write(Buffer.alloc(100, 0x41)), 'VB_NBD_REPLY_MAGIC'],
    ['a wrong cookie', (peer, request) => peer.write(dataOf({ ...request, cookie: 999n })), 'VB_NBD_REPLY_COOKIE'],
    ['another offset', (peer, request) => peer.write(dataOf({ ...request, offset: 4 * KiB })), 'VB_NBD_REPLY_CHUNK'],
    [
      'more than was asked for',
      (peer, request) => peer.write(dataOf(request, Buffer.alloc(request.length + 1))),
      'VB_NBD_REPLY_CHUNK',
    ],
    [
      'less than was asked for',
      (peer, request) => peer.write(dataOf(request, Buffer.alloc(1))),
      'VB_NBD_REPLY_INCOMPLETE',
    ],
    ['nothing at all', (peer, { cookie }) => peer.write(chunk(cookie, NBD_REPLY_TYPE_NONE)), 'VB_NBD_REPLY_INCOMPLETE'],
    ['a simple reply', (peer, { cookie }) => peer.write(simpleReply(cookie)), 'VB_NBD_REPLY_MAGIC'],
    [
      'an offset beyond 2^53',
      (peer, { cookie }) => peer.write(chunk(cookie, NBD_REPLY_TYPE_OFFSET_DATA, { body: Buffer.alloc(20, 0xff) })),
      'VB_NUMBER_TOO_LARGE',
    ],
  ];
  for (const [what, answer, code] of breaches) {
    it(`says ${code} to ${what}, and does not come back`, async () => {
      await using server = await serve(answer);
      await using client = await connect(server);
      await assert.rejects(client.read(0, Buffer.alloc(4 * KiB)), { code });
      await assert.rejects(client.read(0, Buffer.alloc(4 * KiB)), { code });
      assert.equal(server.connections, 1);
    });
  }

  it('gives up extents that do not get ahead, or leave a context out', async () => {
    const answers: readonly Answer[] = [
      (peer, { cookie }) => peer.write(chunk(cookie, NBD_REPLY_TYPE_NONE)),
      (peer, { cookie }) => peer.write(chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [0, 0]) })),
      (peer, { cookie }) => peer.write(chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(9, [1, 0]) })),
    ];
    for (const answer of answers) {
      await using server = await serve(answer);
      await using client = await connect(server);
      const extents = client.allocation?.({ offset: 0, length: 4 * KiB });
      assert.ok(extents !== undefined);
      await assert.rejects(extents[Symbol.asyncIterator]().next(), { code: 'VB_NBD_REPLY_STATUS' });
    }
  });

  it('ends a reply that never ends', async () => {
    const answer: Answer = async (peer, { cookie }) => {
      while (!peer.socket.destroyed) {
        peer.write(chunk(cookie, NBD_REPLY_TYPE_ERROR, { body: errorBody(NBD_EIO, 'x'.repeat(1000)), done: false }));
        await delay(1);
      }
    };
    await using server = await serve(answer);
    await using client = await connect(server, { requestTimeoutMs: 50 });
    await assert.rejects(client.read(0, Buffer.alloc(KiB)), { code: 'VB_NBD_REQUEST_TIMEOUT' });
  });

  it('ends a stall in the middle of data, and does not touch the buffer afterwards', async () => {
    const late = withResolvers<void>();
    const answer: Answer = async (peer, request) => {
      const bytes = dataOf(request, Buffer.alloc(request.length, 7));
      peer.write(bytes.subarray(0, 200_000));
      await late.promise;
      peer.write(bytes.subarray(200_000));
    };
    await using server = await serve(answer);
    await using client = await connect(server, { requestTimeoutMs: 50, reconnects: 0 });
    const target = Buffer.alloc(512 * KiB);
    await assert.rejects(client.read(0, target), { code: 'VB_NBD_REQUEST_TIMEOUT' });
    target.fill(1);
    late.resolve();
    await delay(20);
    assert.ok(target.every((byte) => byte === 1));
  });

  it('ends a handshake that is dripped', async () => {
    await using server = await ScriptedNbdServer.start(async (peer) => {
      for (const byte of greeting()) {
        peer.write(Buffer.of(byte));
        await delay(20);
      }
    });
    const client = connect(server, { handshakeTimeoutMs: 60 });
    await assert.rejects(client, { code: 'VB_NBD_HANDSHAKE_TIMEOUT' });
  });

  it('drops a connection on which bytes follow in clear after STARTTLS', async () => {
    await using server = await ScriptedNbdServer.start(async (peer) => {
      await peer.greet();
      await peer.option();
      peer.write(optionReply(NBD_OPT_STARTTLS, NBD_REP_ACK), optionReply(8, NBD_REP_ACK));
      await peer.gone();
    });
    const tls = { kind: 'psk', identity: 'alice', key: Buffer.alloc(32) } as const;
    await assert.rejects(connect(server, { tls }), { code: 'VB_NBD_TLS_INJECTION' });
  });

  it('takes nothing in clear for TLS', async () => {
    await using server = await ScriptedNbdServer.start(async (peer) => {
      await peer.greet();
      await peer.option();
      peer.write(optionReply(NBD_OPT_STARTTLS, NBD_REP_ACK));
      await peer.read(1);
      peer.write(optionReply(8, NBD_REP_ACK));
      await peer.gone();
    });
    const tls = { kind: 'psk', identity: 'alice', key: Buffer.alloc(32) } as const;
    await assert.rejects(connect(server, { tls }), { code: 'VB_NBD_TLS' });
  });
});

describe('NbdClient and a connection that is lost', () => {
  it('connects again and sends every read again', async () => {
    const answer: Answer = (peer, request, index) => {
      if (index === 0 && request.offset >= 3 * KiB) peer.socket.destroy();
      else peer.write(dataOf(request));
    };
    await using server = await serve(answer);
    await using client = await connect(server);
    await Promise.all(Array.from({ length: 6 }, (_, index) => assertReads(client, index * KiB, KiB)));
    assert.equal(server.connections, 2);
  });

  it('asks for the rest of its extents on the new connection', async () => {
    const answer: Answer = (peer, { cookie, offset, length }, index) => {
      if (index === 0 && offset > 0) return void peer.socket.destroy();
      const body = statusBody(1, [Math.min(length, KiB), Math.floor(offset / KiB) % 2 === 0 ? 0 : 3]);
      peer.write(chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body }));
    };
    await using server = await serve(answer, { size: 3 * KiB });
    await using client = await connect(server);
    const kinds = [];
    for await (const { kind } of client.allocation?.({ offset: 0, length: 3 * KiB }) ?? []) kinds.push(kind);
    assert.deepEqual(kinds, ['data', 'hole', 'data']);
  });

  it('takes two cuts in the data of one read for an error of the disk, as xapi means it', async () => {
    const answer: Answer = (peer, request) => {
      if (request.offset !== 0) return peer.write(simpleReply(request.cookie), contentOf(request));
      peer.socket.end(Buffer.concat([simpleReply(request.cookie), Buffer.alloc(100)]));
    };
    await using server = await serve(answer, { structured: false });
    await using client = await connect(server);
    await assert.rejects(client.read(0, Buffer.alloc(4 * KiB)), { code: 'VB_NBD_REQUEST_FAILED' });
    await assertReads(client, 8 * KiB);
  });

  it('knows a context by its name, whatever its id is on the new connection', async () => {
    await using server = await ScriptedNbdServer.start(async (peer, index) => {
      const contexts = ['base:allocation', 'qemu:dirty-bitmap:b'];
      await peer.negotiate({ size: 2 * KiB, contexts: index === 0 ? contexts : contexts.reverse() });
      const dirty = index === 0 ? 2 : 1;
      for (;;) {
        const { cookie, offset } = await peer.request();
        if (index === 0 && offset > 0) return void peer.socket.destroy();
        const own = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(dirty, [KiB, 1]), done: false });
        const other = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(3 - dirty, [KiB, 0]) });
        peer.write(own, other);
      }
    });
    await using client = await connect(server, { metaContexts: ['base:allocation', 'qemu:dirty-bitmap:b'] });
    const extents = [];
    for await (const extent of client.blockStatus('qemu:dirty-bitmap:b', { offset: 0, length: 2 * KiB })) {
      extents.push(extent);
    }
    assert.deepEqual(extents, [{ offset: 0, length: 2 * KiB, flags: 1, context: 'qemu:dirty-bitmap:b' }]);
    assert.equal(server.connections, 2);
  });

  it('goes to the server that comes next where one says that it shuts down', async () => {
    const answer: Answer = (peer, request, index) => {
      const body = errorBody(NBD_ESHUTDOWN, 'bye');
      peer.write(index === 0 ? chunk(request.cookie, NBD_REPLY_TYPE_ERROR, { body }) : dataOf(request));
    };
    await using server = await serve(answer);
    await using client = await connect(server);
    await Promise.all([assertReads(client, 0, KiB), assertReads(client, KiB, KiB)]);
    assert.equal(server.connections, 2);
  });

  it('does not wait for a new connection while another one has room', async () => {
    const flags = NBD_FLAG_HAS_FLAGS + NBD_FLAG_CAN_MULTI_CONN;
    const answered = withResolvers<void>();
    await using server = await ScriptedNbdServer.start(async (peer, index) => {
      if (index > 1) return peer.gone();
      await peer.negotiate({ flags });
      for (;;) {
        const request = await peer.request();
        if (index === 0) {
          await honest(peer, request, index);
          answered.resolve();
        } else {
          await answered.promise;
          await delay(10);
          return void peer.socket.destroy();
        }
      }
    });
    await using client = await connect(server, { connections: 2 });
    await Promise.all([assertReads(client, 0, KiB), assertReads(client, KiB, KiB)]);
  });

  it('survives a server that ends the session after every error', async () => {
    const answer: Answer = (peer, request) => {
      if (request.offset === 0) peer.socket.end(simpleReply(request.cookie, 22));
      else peer.write(simpleReply(request.cookie), contentOf(request));
    };
    await using server = await serve(answer, { structured: false });
    await using client = await connect(server);
    const [bad, good] = [client.read(0, Buffer.alloc(KiB)), assertReads(client, KiB, KiB)];
    await assert.rejects(bad, { code: 'VB_NBD_REQUEST_FAILED' });
    await good;
  });

  it('gives up after the reconnects that it was allowed', async () => {
    const answer: Answer = (peer) => void peer.socket.destroy();
    await using server = await serve(answer);
    await using client = await connect(server, { reconnects: 2 });
    await assert.rejects(client.read(0, Buffer.alloc(KiB)), { code: 'VB_NBD_DISCONNECTED' });
    assert.equal(server.connections, 3);
  });

  it('never sends a write again, and takes no later flush for a promise', async () => {
    const writes: number[] = [];
    const answer: Answer = async (peer, request, index) => {
      if (request.command === NBD_CMD_WRITE) {
        await peer.read(request.length);
        writes.push(request.offset);
      }
      if (index === 0 && request.offset > 0) return void peer.socket.destroy();
      peer.write(request.command === NBD_CMD_READ ? dataOf(request) : simpleReply(request.cookie));
    };
    await using server = await serve(answer, { flags: WRITABLE });
    await using client = await connect(server);
    await client.write(0, Buffer.alloc(KiB));
    await assert.rejects(client.write(KiB, Buffer.alloc(KiB)), { code: 'VB_NBD_DISCONNECTED' });
    await assertReads(client);
    assert.equal(server.connections, 2);
    await assert.rejects(client.flush(), { code: 'VB_NBD_DISCONNECTED' });
    await assert.rejects(client.write(0, Buffer.alloc(KiB)), { code: 'VB_NBD_DISCONNECTED' });
    assert.deepEqual(writes, [0, KiB]);
  });

  it('goes on with writes if everything was flushed before', async () => {
    const answer: Answer = async (peer, request, index) => {
      if (request.command === NBD_CMD_WRITE) await peer.read(request.length);
      if (index === 0 && request.command === NBD_CMD_READ) return void peer.socket.destroy();
      peer.write(request.command === NBD_CMD_READ ? dataOf(request) : simpleReply(request.cookie));
    };
    await using server = await serve(answer, { flags: WRITABLE });
    await using client = await connect(server);
    await client.write(0, Buffer.alloc(KiB));
    await client.flush();
    await assertReads(client);
    await client.write(0, Buffer.alloc(KiB));
    await client.flush();
    assert.equal(server.connections, 2);
  });

  it('refuses an export that changed meanwhile', async () => {
    await using server = await ScriptedNbdServer.start(async (peer, index) => {
      await peer.negotiate({ size: index === 0 ? 8 * KiB : 4 * KiB });
      const request = await peer.request();
      if (index === 0) peer.socket.destroy();
      else await honest(peer, request, index);
    });
    await using client = await connect(server);
    await assert.rejects(client.read(0, Buffer.alloc(KiB)), { code: 'VB_NBD_EXPORT_CHANGED' });
  });

  it('goes on over the connections that are left', async () => {
    const flags = NBD_FLAG_HAS_FLAGS + NBD_FLAG_CAN_MULTI_CONN;
    await using server = await ScriptedNbdServer.start(async (peer, index) => {
      if (index > 1) return void peer.socket.destroy();
      await peer.negotiate({ flags });
      for (;;) {
        const request = await peer.request();
        if (index === 1) return void peer.socket.destroy();
        await delay(1);
        await honest(peer, request, index);
      }
    });
    await using client = await connect(server, { connections: 2, reconnects: 1 });
    assert.equal(client.connections, 2);
    await Promise.all(Array.from({ length: 8 }, (_, index) => assertReads(client, index * KiB, KiB)));
    // The one that is lost is tried once more.
    while (client.connections > 1) await delay(5);
    await assertReads(client);
  });
});

describe('NbdClient and an abort', () => {
  it('lets go of a buffer at once, and keeps the connection where nothing has come yet', async () => {
    const held: SeenRequest[] = [];
    const answer: Answer = (peer, request) => {
      held.push(request);
      if (held.length > 1) peer.write(...held.splice(0).map((each) => dataOf(each)));
    };
    await using server = await serve(answer);
    await using client = await connect(server);
    const stop = new AbortController();
    const target = Buffer.alloc(100 * KiB, 0xee);
    const read = client.read(0, target, { signal: stop.signal });
    while (held.length === 0) await delay(1);
    stop.abort(new Error('enough'));
    await assert.rejects(read, /enough/);
    await assertReads(client, 200 * KiB, 100 * KiB);
    assert.ok(target.every((byte) => byte === 0xee));
    assert.equal(server.connections, 1);
  });

  it('drops the connection where the bytes are on their way, and reads the rest over another', async () => {
    const answer: Answer = (peer, request, index) => {
      const bytes = dataOf(request);
      peer.write(index === 0 ? bytes.subarray(0, 200 * KiB) : bytes);
    };
    await using server = await serve(answer);
    await using client = await connect(server);
    const stop = new AbortController();
    const target = Buffer.alloc(500 * KiB, 0xee);
    const read = client.read(0, target, { signal: stop.signal });
    const other = assertReads(client, 512 * KiB, 100 * KiB);
    while (target.readUInt8(0) === 0xee) await delay(1);
    stop.abort(new Error('enough'));
    await assert.rejects(read, /enough/);
    target.fill(1);
    await other;
    assert.ok(target.every((byte) => byte === 1));
    assert.equal(server.connections, 2);
  });

  it('stops all pieces of a long read', async () => {
    await using server = await serve(() => {}, { size: 64 * KiB * KiB });
    await using client = await connect(server);
    const signal = AbortSignal.timeout(10);
    await assert.rejects(client.read(0, Buffer.alloc(32 * KiB * KiB), { signal }), { name: 'TimeoutError' });
  });

  it('fails a long read as a whole, and touches its buffer no more', async () => {
    const answer: Answer = async (peer, request) => {
      if (request.offset > 0)
        return peer.write(chunk(request.cookie, NBD_REPLY_TYPE_ERROR, { body: errorBody(5, '') }));
      await delay(20);
      peer.write(dataOf(request));
    };
    await using server = await ScriptedNbdServer.start(async (peer) => {
      await peer.negotiate({ size: 64 * KiB * KiB });
      for (;;) void answer(peer, await peer.request(), 0);
    });
    await using client = await connect(server);
    const target = Buffer.alloc(4 * KiB * KiB);
    await assert.rejects(client.read(0, target), { code: 'VB_NBD_REQUEST_FAILED' });
    target.fill(1);
    await delay(50);
    assert.ok(target.every((byte) => byte === 1));
  });

  it('stops connecting', async () => {
    await using server = await ScriptedNbdServer.start((peer) => peer.gone());
    const signal = AbortSignal.timeout(10);
    await assert.rejects(connect(server, { signal }), { name: 'TimeoutError' });
    await assert.rejects(connect(server, { signal }), { name: 'TimeoutError' });
  });

  it('does nothing where the signal was aborted before', async () => {
    await using server = await serve(honest);
    await using client = await connect(server);
    const signal = AbortSignal.abort(new Error('never'));
    await assert.rejects(client.read(0, Buffer.alloc(8), { signal }), /never/);
    await assert.rejects(connect(server, { signal }), /never/);
  });
});

describe('NbdClient and nobody', () => {
  it('says where it could not connect', async () => {
    const path = '/nonexistent/nbd.sock';
    const client = NbdClient.connect({ address: { kind: 'unix', path }, exportName: '' });
    const cure = /socket or the port/;
    await assert.rejects(client, { code: 'VB_NBD_CONNECT', message: new RegExp(`${path}: ENOENT$`), cure });
  });
});
