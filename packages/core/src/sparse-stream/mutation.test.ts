import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { ProtocolError } from '../errors/index.js';
import { SparseStreamDecoder } from './decoder.js';
import { encodeFrameHeader } from './frame-header.js';
import { scanSparseStream } from './scan.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures/sparse-stream/A/', import.meta.url));
const load = (name: string): Buffer => readFileSync(`${FIXTURES}${name}`);

// Where the frames lie stands in the manifest of the fixtures.
const FULL = load('vda.full.data');
const PLAIN = load('vda.inc.virtnbdbackup.1.data');
const LZ4 = load('vda.inc.virtnbdbackup.2.data');
const FULL_META = 322;

function decode(file: Buffer): void {
  const decoder = new SparseStreamDecoder();
  // Pieces of a prime length, so that a fault does not depend on where a chunk ends.
  for (let at = 0; at < file.length; at += 9973) for (const _ of decoder.push(file.subarray(at, at + 9973)));
  decoder.end();
}

function faultOf(act: () => void): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
    return `${error.code} ${error.offset}`;
  }
  return 'none';
}

/** The file as the index reads it: headers and trailer only. */
function scan(file: Buffer): void {
  const steps = scanSparseStream(file.length);
  let step = steps.next();
  while (step.done !== true) {
    const { offset, length } = step.value.read;
    step = steps.next(file.subarray(offset, offset + length));
  }
}

type Mutate = (file: Buffer) => Buffer;

const cut =
  (bytes: number): Mutate =>
  (file) =>
    file.subarray(0, file.length - bytes);
const append =
  (text: string): Mutate =>
  (file) =>
    Buffer.concat([file, Buffer.from(text)]);
const put =
  (at: number, text: string): Mutate =>
  (file) => {
    const copy = Buffer.from(file);
    copy.write(text, at, 'latin1');
    return copy;
  };
const flip =
  (at: number): Mutate =>
  (file) => {
    const copy = Buffer.from(file);
    copy[at] = 255 - (copy[at] ?? 0);
    return copy;
  };
const swap =
  (a: readonly [number, number], b: readonly [number, number]): Mutate =>
  (file) =>
    Buffer.concat([
      file.subarray(0, a[0]),
      file.subarray(...b),
      file.subarray(a[1], b[0]),
      file.subarray(...a),
      file.subarray(b[1]),
    ]);
const remove =
  (from: number, to: number): Mutate =>
  (file) =>
    Buffer.concat([file.subarray(0, from), file.subarray(to)]);
/** Replaces META; the lengths in the header follow. */
const meta =
  (change: (json: string) => string): Mutate =>
  (file) => {
    const end = 40 + Number.parseInt(file.toString('latin1', 22, 38), 16);
    const json = Buffer.from(change(file.toString('utf8', 40, end)));
    return Buffer.concat([
      encodeFrameHeader({ kind: 'meta', start: 0, length: json.length }),
      json,
      file.subarray(end),
    ]);
  };
const replaced = (from: string, to: string): Mutate =>
  meta((json) => {
    assert.ok(json.includes(from), from);
    return json.replace(from, to);
  });

/** `scan`: what the index says, where that differs; `-` where only payloads tell. */
interface Row {
  readonly name: string;
  readonly file: Buffer;
  readonly mutate: Mutate;
  readonly fault: string;
  readonly scan?: string;
}

const ROWS: readonly Row[] = [
  { name: 'no STOP', file: FULL, mutate: cut(40), fault: 'VB_SPARSE_TRUNCATED 525022' },
  { name: 'cut in a DATA payload', file: FULL, mutate: cut(40 + 1000), fault: 'VB_SPARSE_TRUNCATED 524022' },
  {
    name: 'cut in a compressed payload',
    file: LZ4,
    mutate: cut(71819 - 70000),
    fault: 'VB_SPARSE_TRUNCATED 70000',
    scan: 'VB_SPARSE_HEADER 69960',
  },
  { name: 'cut in META', file: FULL, mutate: cut(525062 - 100), fault: 'VB_SPARSE_TRUNCATED 100' },
  { name: 'an empty file', file: FULL, mutate: cut(525062), fault: 'VB_SPARSE_TRUNCATED 0' },
  { name: 'a flipped byte in an uncompressed payload', file: FULL, mutate: flip(1000), fault: 'none' },
  {
    name: 'a flipped byte in an LZ4 block',
    file: LZ4,
    mutate: flip(374 + 40 + 2000),
    fault: 'VB_SPARSE_LZ4_CHECKSUM 433',
    scan: '-',
  },
  { name: 'a flipped magic of LZ4', file: LZ4, mutate: flip(66572), fault: 'VB_SPARSE_LZ4 66572', scan: '-' },
  {
    name: 'a flipped checksum of an LZ4 block',
    file: LZ4,
    mutate: flip(66572 + 5150 - 12),
    fault: 'VB_SPARSE_LZ4_CHECKSUM 66591',
    scan: '-',
  },
  {
    name: 'a flipped checksum of LZ4 content',
    file: LZ4,
    mutate: flip(66572 + 5150 - 1),
    fault: 'VB_SPARSE_LZ4_CHECKSUM 71718',
    scan: '-',
  },
  {
    name: 'the end of the trailer cut',
    file: LZ4,
    mutate: cut(10),
    fault: 'VB_SPARSE_TRUNCATED 71809',
    scan: 'VB_SPARSE_HEADER 71769',
  },
  {
    name: 'the trailer cut',
    file: LZ4,
    mutate: cut(42 + 5),
    fault: 'VB_SPARSE_TRUNCATED 71772',
    scan: 'VB_SPARSE_HEADER 71732',
  },
  {
    name: 'no trailer',
    file: LZ4,
    mutate: cut(55),
    fault: 'VB_SPARSE_TRUNCATED 71764',
    scan: 'VB_SPARSE_TRAILER 71724',
  },
  {
    name: 'a wrong size in the trailer',
    file: LZ4,
    mutate: put(71764, '[66117, 5150]'),
    fault: 'VB_SPARSE_TRAILER 71765',
    scan: 'VB_SPARSE_FRAME 66531',
  },
  {
    name: 'a wrong size at its end',
    file: LZ4,
    mutate: put(71764, '[66116, 5151]'),
    fault: 'VB_SPARSE_TRAILER 71772',
    scan: 'VB_SPARSE_FRAME 71723',
  },
  {
    name: 'a size too few in the trailer',
    file: LZ4,
    mutate: put(71764, '[66116      ]'),
    fault: 'VB_SPARSE_TRAILER 71764',
  },
  {
    name: 'a size too many in the trailer',
    file: LZ4,
    mutate: put(71764, '[66116,5150,]'),
    fault: 'VB_SPARSE_TRAILER 71776',
  },
  {
    name: 'a trailer that is not JSON',
    file: LZ4,
    mutate: put(71764, '[66116; 5150]'),
    fault: 'VB_SPARSE_TRAILER 71770',
  },
  {
    name: 'a trailer of another length',
    file: LZ4,
    mutate: put(71779 + 37, 'c'),
    fault: 'VB_SPARSE_TRAILER 71779',
    scan: 'VB_SPARSE_TRAILER 71765',
  },
  { name: 'a shorter frame', file: PLAIN, mutate: put(378 + 22, '0000000000008000'), fault: 'VB_SPARSE_FRAME 33186' },
  { name: 'a longer frame', file: PLAIN, mutate: put(378 + 22, '0000000000010001'), fault: 'VB_SPARSE_FRAME 65955' },
  {
    name: 'a shorter compressed frame',
    file: LZ4,
    mutate: put(66532 + 22, '000000000000ffff'),
    fault: 'VB_SPARSE_LZ4_LENGTH 66587',
    scan: 'VB_SPARSE_DATA_SIZE 71724',
  },
  {
    name: 'a longer compressed frame',
    file: LZ4,
    mutate: put(66532 + 22, '0000000000010001'),
    fault: 'VB_SPARSE_FRAME 66532',
  },
  {
    name: 'a longer compressed frame that fits',
    file: LZ4,
    mutate: put(374 + 22, '0000000000030001'),
    fault: 'VB_SPARSE_LZ4 66530',
    scan: 'VB_SPARSE_DATA_SIZE 71724',
  },
  {
    name: 'two frames swapped',
    file: PLAIN,
    mutate: swap([378, 65956], [65956, 131534]),
    fault: 'VB_SPARSE_ORDER 65956',
  },
  {
    name: 'two frames of a full swapped',
    file: FULL,
    mutate: swap([65942, 65982], [197096, 197136]),
    fault: 'VB_SPARSE_COVER 65942',
  },
  {
    name: 'overlapping frames',
    file: PLAIN,
    mutate: put(65956 + 5, '000000000010ffff'),
    fault: 'VB_SPARSE_ORDER 65956',
  },
  {
    name: 'a frame beyond the disk',
    file: PLAIN,
    mutate: put(131534 + 5, '0000000000800000'),
    fault: 'VB_SPARSE_FRAME 131534',
  },
  {
    name: 'a frame across the end of the disk',
    file: PLAIN,
    mutate: put(131534 + 5, '00000000007f0001'),
    fault: 'VB_SPARSE_FRAME 131534',
  },
  {
    name: 'a frame at the end of all numbers',
    file: PLAIN,
    mutate: put(131534 + 5, '001fffffffffffff'),
    fault: 'VB_SPARSE_FRAME 131534',
  },
  {
    name: 'a number beyond 2^53',
    file: PLAIN,
    mutate: put(131534 + 22, '0020000000000000'),
    fault: 'VB_SPARSE_HEADER 131556',
  },
  {
    name: 'an empty frame',
    file: PLAIN,
    mutate: put(131534 + 22, '0000000000000000'),
    fault: 'VB_SPARSE_FRAME 131534',
  },
  {
    name: 'a header that is not hexadecimal',
    file: PLAIN,
    mutate: put(65956 + 8, 'g'),
    fault: 'VB_SPARSE_HEADER 65956',
  },
  { name: 'a header of another kind', file: PLAIN, mutate: put(65956, 'dita'), fault: 'VB_SPARSE_HEADER 65956' },
  { name: 'a second META', file: PLAIN, mutate: put(65956, 'meta'), fault: 'VB_SPARSE_FRAME 65956' },
  { name: 'a frame that became ZERO', file: PLAIN, mutate: put(65956, 'zero'), fault: 'VB_SPARSE_HEADER 65996' },
  { name: 'a ZERO frame lost', file: FULL, mutate: remove(197096, 197136), fault: 'VB_SPARSE_COVER 197096' },
  { name: 'the last frame lost', file: FULL, mutate: remove(459444, 525022), fault: 'VB_SPARSE_COVER 459444' },
  { name: 'a DATA frame lost', file: PLAIN, mutate: remove(65956, 131534), fault: 'VB_SPARSE_DATA_SIZE 131534' },
  { name: 'a byte lost', file: FULL, mutate: remove(100_000, 100_001), fault: 'VB_SPARSE_FRAME 197094' },
  { name: 'bytes behind the end', file: PLAIN, mutate: append('x'), fault: 'VB_SPARSE_EXCESS 197152' },
  {
    name: 'bytes behind the trailer',
    file: LZ4,
    mutate: append('x'),
    fault: 'VB_SPARSE_EXCESS 71819',
    scan: 'VB_SPARSE_HEADER 71780',
  },
  { name: 'dataSize one more', file: PLAIN, mutate: replaced('196608', '196609'), fault: 'VB_SPARSE_DATA_SIZE 197112' },
  { name: 'dataSize one less', file: PLAIN, mutate: replaced('196608', '196607'), fault: 'VB_SPARSE_DATA_SIZE 197112' },
  { name: 'META of 2 GiB', file: FULL, mutate: put(22, '0000000080000000'), fault: 'VB_SPARSE_LIMIT 22' },
  { name: 'META that is not JSON', file: FULL, mutate: put(40, '['), fault: 'VB_SPARSE_META 40' },
  { name: 'META that is not an object', file: FULL, mutate: meta(() => '7'), fault: 'VB_SPARSE_META 40' },
  {
    name: 'META without a size',
    file: FULL,
    mutate: replaced('virtualSize', 'virtualsize'),
    fault: 'VB_SPARSE_META 40',
  },
  {
    name: 'a size that is not exact',
    file: FULL,
    mutate: replaced('8388608', '9007199254740992'),
    fault: 'VB_SPARSE_META 40',
  },
  { name: 'a negative size', file: FULL, mutate: replaced('8388608', '-1'), fault: 'VB_SPARSE_META 40' },
  {
    name: 'two spellings of one key',
    file: FULL,
    mutate: replaced('{', '{"virtual-size": 1,'),
    fault: 'VB_SPARSE_META 40',
  },
  {
    name: 'META without its line end',
    file: FULL,
    mutate: put(40 + FULL_META, 'xx'),
    fault: `VB_SPARSE_FRAME ${40 + FULL_META}`,
  },
  { name: 'no META', file: FULL, mutate: remove(0, 364), fault: 'VB_SPARSE_HEADER 0' },
  { name: 'another file', file: FULL, mutate: () => Buffer.alloc(1000), fault: 'VB_SPARSE_HEADER 0' },
  {
    name: 'version 3',
    file: FULL,
    mutate: replaced('"streamVersion": 2', '"streamVersion": 3'),
    fault: 'VB_SPARSE_VERSION 40',
  },
  { name: 'another compression', file: LZ4, mutate: replaced('"lz4"', '"zstd"'), fault: 'VB_SPARSE_VERSION 40' },
];

describe('a damaged SparseStream', () => {
  for (const { name, file, mutate, fault, scan: scanned = fault } of ROWS) {
    it(`${name}: ${fault}`, () => {
      const mutated = mutate(file);
      assert.equal(
        faultOf(() => decode(mutated)),
        fault,
      );
      assert.equal(
        faultOf(() => scan(mutated)),
        scanned === '-' ? 'none' : scanned,
        'by its index',
      );
    });
  }

  it('is read by neither way beyond what it says, wherever bytes are changed', () => {
    const mutation = fc.array(fc.tuple(fc.nat(LZ4.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(mutation, (changes) => {
        const file = Buffer.from(LZ4);
        for (const [at, value] of changes) file[at] = value;
        faultOf(() => decode(file));
        faultOf(() => scan(file));
      }),
      { numRuns: 500 },
    );
  });

  it('headers that are changed at random give a typed error, or another valid file', () => {
    const headers = [0, 378, 65956, 131534, 197112];
    fc.assert(
      fc.property(
        fc.constantFrom(...headers),
        fc.nat(39),
        fc.constantFrom('0', '1', '7', '8', 'a', 'f', ' ', 'z', 'm', 's', 'c', '\r', '\n'),
        (header, at, text) => {
          faultOf(() => decode(put(header + at, text)(PLAIN)));
          faultOf(() => scan(put(header + at, text)(PLAIN)));
        },
      ),
      { numRuns: 500 },
    );
  });
});
