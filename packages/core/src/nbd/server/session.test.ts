import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { ProtocolError } from '../../errors/index.js';
import { clientFlags, clientOption, clientRequest, infoData, MemoryExport, metaData } from '../../testing/index.js';
import { ByteBudget } from './byte-budget.js';
import { Negotiation } from './negotiation.js';
import { limitsOf } from './server-options.js';
import { SocketChannel } from './socket-channel.js';
import { Transmission } from './transmission.js';

const SIZE = 1024 * 1024;

/** What a careful client says from its first byte to its last. */
const CONVERSATION = Buffer.concat([
  clientFlags(),
  clientOption(3),
  clientOption(77, Buffer.from('unknown')),
  clientOption(8),
  clientOption(9, metaData('disk', [])),
  clientOption(10, metaData('disk', ['base:allocation'])),
  clientOption(6, infoData('other')),
  clientOption(7, infoData('disk', [1, 2, 3])),
  clientRequest({ type: 1, cookie: 1n, offset: 4096, length: 600 }),
  Buffer.alloc(600, 0xab),
  clientRequest({ type: 0, cookie: 2n, offset: 4000, length: 300 }),
  clientRequest({ type: 0, cookie: 3n, offset: 0, length: 0, flags: 4 }),
  clientRequest({ type: 7, cookie: 4n, offset: 0, length: 200_000 }),
  clientRequest({ type: 6, cookie: 5n, offset: 4096, length: 100 }),
  clientRequest({ type: 4, cookie: 6n, offset: 0, length: 65_536, flags: 1 }),
  clientRequest({ type: 3, cookie: 7n }),
  clientRequest({ type: 0, cookie: 8n, offset: SIZE, length: 1 }),
  clientRequest({ type: 99, cookie: 9n }),
  clientRequest({ type: 2, cookie: 10n }),
]);

describe('a session of the NBD server', () => {
  it('answers the same, wherever the bytes of the client are cut', async () => {
    const whole = await answer([CONVERSATION]);
    assert.ok(whole.length > 1_000);
    const bytewise = Array.from(CONVERSATION, (byte) => Buffer.from([byte]));
    assert.ok((await answer(bytewise)).equals(whole), 'one by one');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: CONVERSATION.length - 1 }), { maxLength: 12 }),
        async (cuts) => {
          const places = [0, ...cuts.toSorted((a, b) => a - b), CONVERSATION.length];
          const chunks = places.slice(1).map((place, index) => CONVERSATION.subarray(places[index], place));
          assert.ok((await answer(chunks)).equals(whole), `cut at ${cuts.join()}`);
        },
      ),
    );
  });

  it('says that the client left within a message, wherever that was', async () => {
    const boundaries = new Set(await messageBoundaries());
    for (let length = 0; length < CONVERSATION.length; length += 1) {
      const left = answer([CONVERSATION.subarray(0, length)]);
      if (boundaries.has(length)) await left;
      else await assert.rejects(left, { code: 'VB_NBD_SERVER_PEER_GONE' }, `left at ${length}`);
    }
  });

  it('ends with an error or in silence, never with a hang, whatever is sent', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(CONVERSATION.length), fc.uint8Array({ maxLength: 200 }), async (place, garbage) => {
        const bytes = Buffer.concat([CONVERSATION.subarray(0, place), Buffer.from(garbage)]);
        await answer([bytes]).catch((error: unknown) => {
          assert.ok(error instanceof ProtocolError && error.code.startsWith('VB_NBD_SERVER_'), String(error));
        });
      }),
    );
  });
});

/** Where a client may leave without an error: between its messages. */
async function messageBoundaries(): Promise<number[]> {
  const lengths = [
    4,
    16,
    23,
    16,
    16 + 12,
    16 + 12 + 4 + 15,
    16 + 11,
    16 + 10 + 6,
    28 + 600,
    ...Array.from({ length: 8 }, () => 28),
  ];
  const places = [0];
  for (const length of lengths) places.push((places.at(-1) ?? 0) + length);
  // Behind the last one comes NBD_CMD_DISC.
  assert.equal(places.at(-1), CONVERSATION.length - 28);
  return places;
}

/** Everything that the server says to `chunks`, each of them arriving alone. */
async function answer(chunks: readonly Buffer[]): Promise<Buffer> {
  const said: Buffer[] = [];
  const incoming = chunks.values();
  const socket = new Duplex({
    read() {
      setImmediate(() => this.push(incoming.next().value ?? null));
    },
    write(chunk, _encoding, done) {
      said.push(Buffer.from(chunk));
      done();
    },
  });
  const disk = new MemoryExport({ name: 'disk', description: 'a disk', size: SIZE });
  const channel = new SocketChannel(socket);
  const onExportError = (error: unknown) => assert.fail(String(error));
  const limits = limitsOf({ address: { kind: 'unix', path: '' }, open: async () => disk, maximumRequestsInFlight: 1 });
  try {
    const agreed = await new Negotiation(channel, {
      open: async (name) => (name === 'disk' ? disk : null),
      list: async () => [{ name: 'disk' }, { name: 'other', description: 'another' }],
      upgrade: undefined,
      tlsRequired: false,
      maximumRequest: limits.maximumRequest,
      onExportError,
    }).run();
    const { signal } = new AbortController();
    const budget = new ByteBudget(limits.maximumTotalBytesInFlight);
    if (agreed !== undefined)
      await new Transmission(channel, agreed, { limits, budget, signal, onExportError, onGone: () => undefined }).run();
  } finally {
    socket.destroy();
  }
  return Buffer.concat(said);
}
