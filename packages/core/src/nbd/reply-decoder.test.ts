import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunk, errorBody, longWord, simpleReply, statusBody, word } from '../testing/index.js';
import { Reply } from './reply.js';
import { ReplyDecoder } from './reply-decoder.js';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_EINVAL,
  NBD_EIO,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
} from './words.js';

const OFFSET = 1000;
const LENGTH = 24;
const CONTEXTS = new Map([
  [1, 'one'],
  [7, 'seven'],
  [9, 'nine'],
]);

/** Requests 1 and 2 read, 3 asks for a status, 4 writes. */
function table(): { readonly replies: Map<bigint, Reply>; readonly targets: readonly Buffer[] } {
  const replies = new Map<bigint, Reply>();
  const targets = [Buffer.alloc(LENGTH, 0xee), Buffer.alloc(LENGTH, 0xee)];
  const add = (cookie: bigint, command: number, target?: Buffer) => {
    const request = { cookie, command, flags: 0, offset: OFFSET, length: LENGTH };
    replies.set(cookie, new Reply(request, { what: `request ${cookie}` }, target));
  };
  add(1n, NBD_CMD_READ, targets[0]);
  add(2n, NBD_CMD_READ, targets[1]);
  add(3n, NBD_CMD_BLOCK_STATUS);
  add(4n, NBD_CMD_WRITE);
  return { replies, targets };
}

const decoderOf = (replies: Map<bigint, Reply>, structured = true): ReplyDecoder =>
  new ReplyDecoder({ find: (cookie) => replies.get(cookie), structured, contexts: CONTEXTS });

/** Feeds bytes as a connection does: replies leave the table when they are complete. */
function feed(decoder: ReplyDecoder, replies: Map<bigint, Reply>, pieces: Iterable<Buffer>): bigint[] {
  const done: bigint[] = [];
  for (const piece of pieces) {
    for (const reply of decoder.push(piece)) {
      done.push(reply.request.cookie);
      replies.delete(reply.request.cookie);
    }
  }
  return done;
}

const dataBody = (offset: number, bytes: Buffer): Buffer => Buffer.concat([longWord(offset), bytes]);
const holeBody = (offset: number, length: number): Buffer => Buffer.concat([longWord(offset), word(length)]);
const text = (length: number, letter: string): Buffer => Buffer.alloc(length, letter);

/** Every type of chunk, interleaved and out of order. */
const CONVERSATION = Buffer.concat([
  chunk(2n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET + 16, text(8, 'c')), done: false }),
  chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(7, [8, 0], [100, 3]), done: false }),
  chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET, text(24, 'x')), done: false }),
  chunk(2n, NBD_REPLY_TYPE_OFFSET_HOLE, { body: holeBody(OFFSET + 8, 8), done: false }),
  chunk(4n, NBD_REPLY_TYPE_ERROR_OFFSET, { body: errorBody(NBD_EIO, 'bad sector', 1234) }),
  chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(9, [24, 1]), done: false }),
  chunk(2n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET, text(8, 'a')) }),
  chunk(3n, NBD_REPLY_TYPE_NONE),
  chunk(1n, NBD_REPLY_TYPE_NONE),
]);

describe('ReplyDecoder', () => {
  it('decodes interleaved replies of every type, wherever they are cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: CONVERSATION.length - 1 }), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (places) => {
        const { replies, targets } = table();
        const all = new Map(replies);
        const edges = [0, ...[...places].sort((left, right) => left - right), CONVERSATION.length];
        const pieces = edges.slice(1).map((end, index) => Buffer.from(CONVERSATION.subarray(edges[index], end)));
        assert.deepEqual(feed(decoderOf(replies), replies, pieces), [4n, 2n, 3n, 1n]);
        assert.equal(targets[0]?.toString(), 'x'.repeat(24));
        assert.equal(targets[1]?.toString(), `${'a'.repeat(8)}${'\0'.repeat(8)}${'c'.repeat(8)}`);
        assert.match(all.get(4n)?.error?.message ?? '', /EIO at byte 1234: bad sector/);
        assert.deepEqual(Array.from(all.get(3n)?.statusOf('seven') ?? []), [
          { offset: OFFSET, length: 8, flags: 0 },
          { offset: OFFSET + 8, length: 16, flags: 3 },
        ]);
        assert.deepEqual(Array.from(all.get(3n)?.statusOf('nine') ?? []), [{ offset: OFFSET, length: 24, flags: 1 }]);
      }),
    );
  });

  it('decodes byte by byte, although every chunk is overwritten at once', () => {
    const { replies, targets } = table();
    const decoder = decoderOf(replies);
    const scratch = Buffer.alloc(1);
    const done: bigint[] = [];
    for (const byte of CONVERSATION) {
      scratch[0] = byte;
      done.push(...feed(decoder, replies, [scratch]));
      scratch[0] = 0xff;
    }
    assert.deepEqual(done, [4n, 2n, 3n, 1n]);
    assert.equal(targets[0]?.toString(), 'x'.repeat(24));
  });

  it('names the place of payload, and takes what was put there', () => {
    const { replies, targets } = table();
    const decoder = decoderOf(replies);
    const bytes = chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET, text(24, 'x')) });
    assert.equal(decoder.place(), undefined);
    assert.deepEqual([...decoder.push(bytes.subarray(0, 32))], []);
    const place = decoder.place();
    assert.equal(place?.length, 20);
    assert.equal(place?.buffer, targets[0]?.buffer);
    place?.fill('y');
    assert.equal(decoder.placed(10), undefined);
    assert.equal(decoder.place()?.length, 10);
    assert.notEqual(decoder.placed(10), undefined);
    assert.equal(targets[0]?.toString(), `${'x'.repeat(4)}${'y'.repeat(20)}`);
    assert.equal(decoder.place(), undefined);
  });

  for (const structured of [true, false]) {
    it(`copies no payload if no more is received than it awaits, in ${structured ? 'structured' : 'simple'} replies`, () => {
      const { replies, targets } = table();
      const decoder = decoderOf(replies, structured);
      const simple = [simpleReply(4n), simpleReply(1n), text(24, 'x'), simpleReply(2n), text(24, 'a')];
      let left = structured ? CONVERSATION : Buffer.concat(simple);
      let placed = 0;
      while (left.length > 0) {
        const place = decoder.place();
        const length = place === undefined ? Math.min(decoder.awaited, left.length) : left.copy(place);
        if (place !== undefined) placed += length;
        const reply = place === undefined ? [...decoder.push(left.subarray(0, length))] : [decoder.placed(length)];
        for (const { request } of reply.filter((complete) => complete !== undefined)) replies.delete(request.cookie);
        left = left.subarray(length);
      }
      assert.equal(placed, structured ? 24 + 8 + 8 : 24 + 24);
      assert.equal(targets[0]?.toString(), 'x'.repeat(24));
      assert.equal(
        targets[1]?.toString(),
        structured ? `${'a'.repeat(8)}${'\0'.repeat(8)}${'c'.repeat(8)}` : 'a'.repeat(24),
      );
    });
  }

  it('throws away what nobody waits for', () => {
    const { replies, targets } = table();
    const decoder = decoderOf(replies);
    replies.get(1n)?.abandon();
    const bytes = chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET, text(24, 'x')) });
    assert.deepEqual(feed(decoder, replies, [bytes]), [1n]);
    assert.ok(targets[0]?.every((byte) => byte === 0xee));
  });

  it('decodes simple replies, with and without data', () => {
    const { replies, targets } = table();
    const all = new Map(replies);
    const decoder = decoderOf(replies, false);
    const bytes = [simpleReply(2n, NBD_EINVAL), simpleReply(1n), text(24, 'x'), simpleReply(4n)];
    assert.deepEqual(feed(decoder, replies, [Buffer.concat(bytes)]), [2n, 1n, 4n]);
    assert.match(all.get(2n)?.error?.message ?? '', /EINVAL/);
    assert.equal(targets[0]?.toString(), 'x'.repeat(24));
    assert.equal(all.get(4n)?.error, undefined);
  });

  const data = (offset: number, length: number, done = false) =>
    chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(offset, text(length, 'x')), done });
  const faults: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['garbage', [Buffer.alloc(16, 0x41)], 'VB_NBD_REPLY_MAGIC'],
    ['an unknown cookie', [chunk(99n, NBD_REPLY_TYPE_NONE)], 'VB_NBD_REPLY_COOKIE'],
    ['a second reply', [data(OFFSET, 24, true), data(OFFSET, 24, true)], 'VB_NBD_REPLY_COOKIE'],
    ['a simple reply to a read', [simpleReply(1n)], 'VB_NBD_REPLY_MAGIC'],
    ['data before the request', [data(OFFSET - 1, 4)], 'VB_NBD_REPLY_CHUNK'],
    ['data beyond the request', [data(OFFSET + 20, 5)], 'VB_NBD_REPLY_CHUNK'],
    ['data twice', [data(OFFSET, 16), data(OFFSET + 8, 16)], 'VB_NBD_REPLY_CHUNK'],
    [
      'data for a write',
      [chunk(4n, NBD_REPLY_TYPE_OFFSET_DATA, { body: dataBody(OFFSET, text(1, 'x')) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    ['data without bytes', [chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: longWord(OFFSET) })], 'VB_NBD_REPLY_CHUNK'],
    [
      'a length that lies',
      [chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { length: 0xffffffff, body: longWord(OFFSET) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    ['an empty hole', [chunk(1n, NBD_REPLY_TYPE_OFFSET_HOLE, { body: holeBody(OFFSET, 0) })], 'VB_NBD_REPLY_CHUNK'],
    [
      'a hole beyond the request',
      [chunk(1n, NBD_REPLY_TYPE_OFFSET_HOLE, { body: holeBody(OFFSET, 25) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    [
      'a hole over data',
      [data(OFFSET, 8), chunk(1n, NBD_REPLY_TYPE_OFFSET_HOLE, { body: holeBody(OFFSET, 24) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    [
      'an offset beyond 2^53',
      [chunk(1n, NBD_REPLY_TYPE_OFFSET_DATA, { body: Buffer.alloc(9, 0xff) })],
      'VB_NUMBER_TOO_LARGE',
    ],
    ['an end that comes too soon', [data(OFFSET, 23), chunk(1n, NBD_REPLY_TYPE_NONE)], 'VB_NBD_REPLY_INCOMPLETE'],
    ['an end without any data', [chunk(1n, NBD_REPLY_TYPE_NONE)], 'VB_NBD_REPLY_INCOMPLETE'],
    ['a chunk of nothing that is not the end', [chunk(1n, NBD_REPLY_TYPE_NONE, { done: false })], 'VB_NBD_REPLY_CHUNK'],
    ['a chunk of nothing with a body', [chunk(1n, NBD_REPLY_TYPE_NONE, { body: word(0) })], 'VB_NBD_REPLY_CHUNK'],
    ['a chunk of an unknown type', [chunk(1n, 77)], 'VB_NBD_REPLY_CHUNK'],
    ['an error without a message length', [chunk(1n, NBD_REPLY_TYPE_ERROR, { body: word(5) })], 'VB_NBD_REPLY_CHUNK'],
    ['an error longer than a message', [chunk(1n, NBD_REPLY_TYPE_ERROR, { length: 1_000_000 })], 'VB_NBD_REPLY_CHUNK'],
    [
      'an error whose lengths differ',
      [chunk(1n, NBD_REPLY_TYPE_ERROR, { body: errorBody(5, 'x', 1) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    [
      'a status for a read',
      [chunk(1n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [24, 0]) })],
      'VB_NBD_REPLY_STATUS',
    ],
    [
      'an extent without length',
      [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [0, 0]) })],
      'VB_NBD_REPLY_STATUS',
    ],
    [
      'extents behind the end',
      [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [24, 0], [1, 0]) })],
      'VB_NBD_REPLY_STATUS',
    ],
    ['a status without extents', [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: word(1) })], 'VB_NBD_REPLY_CHUNK'],
    [
      'a status of half an extent',
      [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: Buffer.alloc(14, 1) })],
      'VB_NBD_REPLY_CHUNK',
    ],
    ['a status without end', [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { length: 0xfffffffc })], 'VB_NBD_REPLY_CHUNK'],
    [
      'a context that was not agreed on',
      [chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(2, [24, 0]) })],
      'VB_NBD_REPLY_STATUS',
    ],
    [
      'one context twice',
      [1, 2].map(() => chunk(3n, NBD_REPLY_TYPE_BLOCK_STATUS, { body: statusBody(1, [1, 0]), done: false })),
      'VB_NBD_REPLY_STATUS',
    ],
  ];
  for (const [what, bytes, code] of faults) {
    it(`refuses ${what} with ${code}`, () => {
      const { replies } = table();
      assert.throws(() => feed(decoderOf(replies), replies, bytes), { code });
    });
  }

  it('refuses structured replies that were not negotiated', () => {
    const { replies } = table();
    const bytes = [chunk(1n, NBD_REPLY_TYPE_NONE)];
    assert.throws(() => feed(decoderOf(replies, false), replies, bytes), { code: 'VB_NBD_REPLY_MAGIC' });
  });
});
