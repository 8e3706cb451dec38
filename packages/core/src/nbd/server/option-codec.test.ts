import assert from 'node:assert/strict';
import fc from 'fast-check';
import { infoData, metaData } from '../../testing/index.js';
import {
  boundedText,
  decodeClientFlags,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  encodeExportNameReply,
} from './option-codec.js';

const name = fc.string({ unit: 'grapheme', maxLength: 40 });

describe('options of a client', () => {
  it('come back as they were sent', () => {
    fc.assert(
      fc.property(name, fc.array(fc.nat(0xffff), { maxLength: 5 }), (exportName, items) => {
        assert.deepEqual(decodeInfoRequest(infoData(exportName, items)), { name: exportName, items });
      }),
    );
    fc.assert(
      fc.property(name, fc.array(name, { maxLength: 5 }), (exportName, queries) => {
        assert.deepEqual(decodeMetaContextRequest(metaData(exportName, queries)), { exportName, queries });
      }),
    );
  });

  it('are refused when cut or lengthened anywhere', () => {
    const info = infoData('disk', [0, 3]);
    const meta = metaData('disk', ['base:allocation', 'base:']);
    for (let length = 0; length < info.length; length += 1) {
      assert.equal(decodeInfoRequest(info.subarray(0, length)), undefined, `info cut at ${length}`);
    }
    for (let length = 0; length < meta.length; length += 1) {
      assert.equal(decodeMetaContextRequest(meta.subarray(0, length)), undefined, `meta context cut at ${length}`);
    }
    assert.equal(decodeInfoRequest(Buffer.concat([info, Buffer.alloc(2)])), undefined);
    assert.equal(decodeMetaContextRequest(Buffer.concat([meta, Buffer.alloc(1)])), undefined);
  });

  it('never throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        decodeInfoRequest(Buffer.from(bytes));
        decodeMetaContextRequest(Buffer.from(bytes));
      }),
    );
  });

  it('cannot promise more queries than they bring', () => {
    const lying = metaData('disk', []);
    lying.writeUInt32BE(0xffffffff, lying.length - 4);
    assert.equal(decodeMetaContextRequest(lying), undefined);
  });

  it('have names of at most 4096 bytes', () => {
    assert.equal(decodeInfoRequest(infoData('x'.repeat(4096)))?.name.length, 4096);
    assert.equal(decodeInfoRequest(infoData('x'.repeat(4097))), undefined);
    assert.equal(boundedText('ü'.repeat(4096)).length, 4096);
  });

  it('start with the magic, and their client with fixed newstyle', () => {
    const code = { code: 'VB_NBD_SERVER_PROTOCOL' };
    assert.throws(() => decodeOptionHeader(Buffer.alloc(16)), code);
    assert.throws(() => decodeClientFlags(Buffer.from([0, 0, 0, 2])), code);
    assert.equal(decodeClientFlags(Buffer.from([0, 0, 0, 1])), 1);
  });

  it('get zeroes behind an export name unless both sides renounce them', () => {
    assert.deepEqual(encodeExportNameReply(2 ** 52 + 1, 3, false), Buffer.from('00100000000000010003', 'hex'));
    assert.equal(encodeExportNameReply(512, 3, true).length, 134);
  });
});
