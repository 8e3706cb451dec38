import assert from 'node:assert/strict';
import fc from 'fast-check';
import { clientRequest } from '../../testing/index.js';
import {
  decodeRequest,
  encodeBlockStatus,
  encodeDataChunkHead,
  encodeDoneChunk,
  encodeErrorChunk,
  encodeSimpleReply,
} from './request-codec.js';

describe('requests and replies of a server', () => {
  it('read a request as it was sent', () => {
    const word = fc.nat(0xffff);
    const cookie = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const offset = fc.oneof(fc.nat(), fc.constantFrom(2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER));
    fc.assert(
      fc.property(fc.record({ flags: word, type: word, cookie, offset, length: fc.nat(0xffffffff) }), (request) => {
        assert.deepEqual(decodeRequest(clientRequest(request)), { ...request });
      }),
    );
  });

  it('take an offset beyond 2^53 - 1 as beyond every disk', () => {
    for (const offset of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      assert.equal(decodeRequest(clientRequest({ type: 0, offset })).offset, Number.POSITIVE_INFINITY);
    }
  });

  it('refuse another magic', () => {
    assert.throws(() => decodeRequest(Buffer.alloc(28)), { code: 'VB_NBD_SERVER_PROTOCOL' });
  });

  it('write what doc/proto.md draws', () => {
    const cookie = 0x0102030405060708n;
    const hex = {
      simple: encodeSimpleReply(cookie, 5).toString('hex'),
      done: encodeDoneChunk(cookie).toString('hex'),
      data: encodeDataChunkHead(cookie, { offset: 2 ** 40, length: 512 }).toString('hex'),
      error: encodeErrorChunk(cookie, 22, 'no').toString('hex'),
      status: encodeBlockStatus(cookie, { contextId: 7, extents: [{ length: 4096, flags: 3 }], done: false }).toString(
        'hex',
      ),
    };
    assert.deepEqual(hex, {
      simple: '67446698000000050102030405060708',
      done: '668e33ef00010000010203040506070800000000',
      data: '668e33ef000100010102030405060708000002080000010000000000',
      error: '668e33ef0001800101020304050607080000000800000016' + '00026e6f',
      status: '668e33ef000000050102030405060708' + '0000000c' + '00000007' + '00001000' + '00000003',
    });
  });
});
