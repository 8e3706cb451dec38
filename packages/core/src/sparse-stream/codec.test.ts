import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { VBackupError } from '../errors/index.js';
import { SparseStreamDecoder, type StreamEvent } from './decoder.js';
import { MAX_DATA_FRAME_LENGTH, SparseStreamEncoder } from './encoder.js';
import { compressFrame } from './lz4-encode.js';
import type { StreamOptions } from './meta.js';

const BLOCK = 4096;

const options = (extra: Partial<StreamOptions> = {}): StreamOptions => ({
  virtualSize: 16 * BLOCK,
  diskName: 'xvda',
  diskFormat: 'raw',
  checkpointName: 'virtnbdbackup.0',
  parentCheckpoint: '',
  incremental: false,
  compressed: false,
  date: new Date(2026, 10, 20, 13, 5, 7, 42),
  ...extra,
});

type Kind = 'data' | 'zero' | 'skip';

const fill = (index: number): Buffer => createHash('sha512').update(String(index)).digest().subarray(0, 64);
const content = (index: number): Buffer => Buffer.alloc(BLOCK, index % 3 === 0 ? fill(index) : index);

/** A stream with one frame per block; `skip` leaves a gap, which only an increment may have. */
function encode(kinds: readonly Kind[], overrides: Partial<StreamOptions> = {}): Buffer {
  const settings = options({ virtualSize: kinds.length * BLOCK, ...overrides });
  const encoder = new SparseStreamEncoder(settings);
  const buffers = [encoder.begin()];
  for (const [index, kind] of kinds.entries()) {
    const bytes = content(index);
    const stored = settings.compressed === false ? bytes : compressFrame(bytes);
    if (kind === 'data') buffers.push(...encoder.data(index * BLOCK, BLOCK, stored).buffers);
    if (kind === 'zero') buffers.push(...encoder.zero(index * BLOCK, BLOCK).buffers);
  }
  const { buffers: end, patch, fileLength } = encoder.finish();
  const file = Buffer.concat([...buffers, ...end]);
  assert.equal(file.length, fileLength);
  patch.bytes.copy(file, patch.fileOffset);
  return file;
}

function decode(chunks: Iterable<Buffer>): StreamEvent[] {
  const decoder = new SparseStreamDecoder();
  const events: StreamEvent[] = [];
  for (const chunk of chunks) events.push(...decoder.push(chunk));
  decoder.end();
  return events;
}

/** The disk as the events describe it; `skip` stays undefined. */
function blocksOf(events: readonly StreamEvent[], count: number): (Buffer | 'zero' | undefined)[] {
  const blocks: (Buffer | 'zero' | undefined)[] = Array.from({ length: count }, () => undefined);
  for (const event of events) {
    if (event.type === 'zero') blocks.fill('zero', event.offset / BLOCK, (event.offset + event.length) / BLOCK);
    if (event.type !== 'data') continue;
    const index = Math.floor(event.offset / BLOCK);
    const block = blocks[index];
    const target = Buffer.isBuffer(block) ? block : Buffer.alloc(BLOCK, 0xee);
    event.bytes.copy(target, event.offset % BLOCK);
    blocks[index] = target;
  }
  return blocks;
}

function* cutAt(bytes: Buffer, cuts: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const cut of [...new Set(cuts.map((each) => each % bytes.length))].toSorted((a, b) => a - b)) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
  yield bytes.subarray(from);
}

const kindsOf = (kinds: readonly Kind[]): fc.Arbitrary<Kind[]> =>
  fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 12 });
const compression = fc.constantFrom<false | number>(false, 0, 2);

describe('SparseStreamEncoder and SparseStreamDecoder', () => {
  const roundTrip = (kinds: readonly Kind[], overrides: Partial<StreamOptions>, cuts: readonly number[]): void => {
    const events = decode(cutAt(encode(kinds, overrides), cuts));
    const expected = kinds.map((kind, index) =>
      kind === 'data' ? content(index) : kind === 'zero' ? 'zero' : undefined,
    );
    assert.deepEqual(blocksOf(events, kinds.length), expected);
  };

  it('a full comes back as it was, wherever the stream is cut', () => {
    fc.assert(
      fc.property(kindsOf(['data', 'zero']), compression, fc.array(fc.nat(1_000_000)), (kinds, compressed, cuts) =>
        roundTrip(kinds, { compressed }, cuts),
      ),
    );
  });

  it('an increment comes back as it was, wherever the stream is cut', () => {
    fc.assert(
      fc.property(kindsOf(['data', 'skip']), compression, fc.array(fc.nat(1_000_000)), (kinds, compressed, cuts) =>
        roundTrip(kinds, { compressed, incremental: true, parentCheckpoint: 'virtnbdbackup.0' }, cuts),
      ),
    );
  });

  it('comes back byte by byte', () => {
    for (const compressed of [false, 2] as const) {
      const file = encode(['data', 'zero', 'data'], { compressed });
      const whole = decode([file]);
      const single = decode(Array.from(file, (byte) => Buffer.of(byte)));
      assert.deepEqual(blocksOf(single, 3), blocksOf(whole, 3));
      assert.deepEqual(
        single.filter((event) => event.type !== 'data'),
        whole.filter((event) => event.type !== 'data'),
      );
    }
  });

  it('names the file offset and the stored length of every frame, as the encoder did', () => {
    const encoder = new SparseStreamEncoder(options({ compressed: 2, virtualSize: 3 * BLOCK }));
    const buffers = [encoder.begin()];
    const frames = [0, 1].map((index) => encoder.data(index * BLOCK, BLOCK, compressFrame(content(index))));
    const zero = encoder.zero(2 * BLOCK, BLOCK);
    const end = encoder.finish();
    const file = Buffer.concat([...buffers, ...[...frames, zero, end].flatMap((each) => each.buffers)]);
    end.patch.bytes.copy(file, end.patch.fileOffset);
    const events = decode([file]).filter((event) => event.type === 'frame' || event.type === 'zero');
    assert.deepEqual(events, [
      ...frames.map(({ fileOffset, storedLength }, index) => ({
        type: 'frame',
        offset: index * BLOCK,
        length: BLOCK,
        fileOffset,
        storedLength,
      })),
      { type: 'zero', offset: 2 * BLOCK, length: BLOCK, fileOffset: zero.fileOffset },
    ]);
  });

  it('writes META as the peer does, with room behind dataSize', () => {
    const file = encode(['data', 'zero'], { diskName: 'plättchen', extra: { vbackup: { id: 'a1', parent: null } } });
    const json = file.subarray(40, 40 + Number.parseInt(file.toString('latin1', 22, 38), 16)).toString('latin1');
    assert.equal(
      json,
      `{
    "virtualSize": 8192,
    "dataSize": 4096            ,
    "date": "2026-11-20T13:05:07.042000",
    "diskName": "pl\\u00e4ttchen",
    "diskFormat": "raw",
    "checkpointName": "virtnbdbackup.0",
    "compressed": false,
    "compressionMethod": "lz4",
    "parentCheckpoint": "",
    "incremental": false,
    "streamVersion": 2,
    "vbackup": {
        "id": "a1",
        "parent": null
    }
}`,
    );
    const [meta] = decode([file]);
    assert.ok(meta?.type === 'meta');
    assert.equal(meta.meta.diskName, 'plättchen');
    assert.equal(meta.meta.dataSize, 4096);
    assert.deepEqual(meta.meta.vbackup, { id: 'a1', parent: null });
  });

  it('writes an empty increment with an empty trailer', () => {
    const file = encode(['skip'], { incremental: true, compressed: 2 });
    assert.ok(file.toString('latin1').endsWith('[]\r\ncomp 0000000000000000 0000000000000002\r\n'));
    assert.deepEqual(decode([file]).at(-1), { type: 'trailer', entryCount: 0 });
  });

  it('writes and reads a disk of 2^53 - 1 bytes', () => {
    const virtualSize = Number.MAX_SAFE_INTEGER;
    const encoder = new SparseStreamEncoder(options({ virtualSize }));
    const buffers = [encoder.begin()];
    buffers.push(...encoder.zero(0, virtualSize - 1).buffers);
    buffers.push(...encoder.data(virtualSize - 1, 1, Buffer.of(7)).buffers);
    const end = encoder.finish();
    const file = Buffer.concat([...buffers, ...end.buffers]);
    end.patch.bytes.copy(file, end.patch.fileOffset);
    const events = decode([file]);
    assert.ok(events.some((event) => event.type === 'data' && event.offset === virtualSize - 1));
  });

  it('writes a trailer of a million sizes in pieces', () => {
    const encoder = new SparseStreamEncoder(options({ incremental: true, compressed: 2, virtualSize: 2 ** 40 }));
    const stored = compressFrame(Buffer.of(1));
    const buffers = [encoder.begin()];
    for (let index = 0; index < 1_000_000; index += 1) encoder.data(index * 2, 1, stored);
    const end = encoder.finish();
    const longest = Math.max(...end.buffers.map((buffer) => buffer.length));
    assert.ok(end.buffers.length > 100 && longest < 100_000, `${end.buffers.length} pieces, ${longest} bytes`);
    const json = Buffer.concat(end.buffers.slice(1, -2)).toString('latin1');
    assert.equal(json.length, Number.parseInt(end.buffers.at(-1)?.toString('latin1', 22, 38) ?? '', 16));
    const sizes: unknown = JSON.parse(json);
    assert.ok(Array.isArray(sizes) && sizes.length === 1_000_000 && sizes.every((size) => size === stored.length));
    assert.equal(buffers.length, 1);
  });

  const misuse: readonly (readonly [string, (encoder: SparseStreamEncoder) => void, Partial<StreamOptions>])[] = [
    ['a gap in a full', (encoder) => encoder.zero(BLOCK, BLOCK), {}],
    ['a full that ends early', (encoder) => encoder.finish(), {}],
    ['a ZERO frame in an increment', (encoder) => encoder.zero(0, BLOCK), { incremental: true }],
    ['a frame beyond the disk', (encoder) => encoder.zero(0, 17 * BLOCK), {}],
    ['an empty frame', (encoder) => encoder.data(0, 0, Buffer.alloc(0)), {}],
    ['a payload of another length', (encoder) => encoder.data(0, 2, Buffer.alloc(1)), {}],
    ['a payload that is not LZ4', (encoder) => encoder.data(0, 4, Buffer.alloc(4)), { compressed: 2 }],
    [
      'a frame of more than 16 MiB',
      (encoder) => encoder.data(0, MAX_DATA_FRAME_LENGTH + 1, Buffer.alloc(MAX_DATA_FRAME_LENGTH + 1)),
      { virtualSize: 2 ** 30 },
    ],
  ];
  for (const [name, act, overrides] of misuse) {
    it(`refuses to write ${name}`, () => {
      const encoder = new SparseStreamEncoder(options(overrides));
      encoder.begin();
      assert.throws(() => act(encoder), { code: 'ERR_ASSERTION' });
    });
  }

  it('refuses descending frames, and extra keys that META has itself', () => {
    const encoder = new SparseStreamEncoder(options({ incremental: true }));
    encoder.begin();
    encoder.data(BLOCK, 1, Buffer.of(1));
    assert.throws(() => encoder.data(BLOCK, 1, Buffer.of(1)), { code: 'ERR_ASSERTION' });
    assert.throws(() => new SparseStreamEncoder(options({ extra: { dataSize: 1 } })).begin(), {
      code: 'ERR_ASSERTION',
    });
  });

  it('a stream that is cut anywhere is an error, at its end', () => {
    for (const compressed of [false, 2] as const) {
      const file = encode(['data', 'zero'], { compressed });
      for (let length = 0; length < file.length; length += 1) {
        assert.throws(
          () => decode([file.subarray(0, length)]),
          (error) =>
            error instanceof VBackupError &&
            error.code === 'VB_SPARSE_TRUNCATED' &&
            error.message.endsWith(`${length})`),
        );
      }
    }
  });
});
