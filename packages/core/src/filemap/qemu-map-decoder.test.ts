import assert from 'node:assert/strict';
import { QemuMapDecoder } from './qemu-map-decoder.js';

/** Printed by qemu-img 7.2. */
const MAP = `[{ "start": 0, "length": 409600, "depth": 0, "present": true, "zero": true, "data": false, "offset": 0},
{ "start": 409600, "length": 12288, "depth": 0, "present": true, "zero": false, "data": true, "offset": 409600},
{ "start": 421888, "length": 10063872, "depth": 0, "present": true, "zero": true, "data": true, "offset": 421888}]
`;
const EMPTY = `[{ "start": 0, "length": 0, "depth": 0, "present": false, "zero": false, "data": false}]\n`;

function decode(...chunks: readonly string[]): readonly object[] {
  const decoder = new QemuMapDecoder();
  const findings = chunks.flatMap((chunk) => [...decoder.push(chunk)]);
  decoder.end();
  return findings;
}

const FOUND = [
  { offset: 0, length: 409600, kind: 'hole' },
  { offset: 409600, length: 12288, kind: 'data' },
  { offset: 421888, length: 10063872, kind: 'zero' },
];

describe('QemuMapDecoder', () => {
  it('reads what qemu-img prints', () => {
    assert.deepEqual(decode(MAP), FOUND);
    assert.deepEqual(decode(EMPTY), []);
    assert.deepEqual(decode('[]\n'), []);
  });

  it('reads it in any two pieces, and refuses the first alone', () => {
    for (let at = 0; at < MAP.length; at++) {
      assert.deepEqual(decode(MAP.slice(0, at), MAP.slice(at)), FOUND);
      assert.throws(() => decode(MAP.slice(0, at)), { code: 'VB_FILE_MAP' }, `${at} characters`);
    }
  });

  const entry = (fields: string): string => `[{ ${fields}}]\n`;
  const faults: readonly [string, string][] = [
    ['nothing', ''],
    ['no list', '{ "start": 0, "length": 1}\n'],
    ['an entry that is no object', '[1]\n'],
    ['an entry without a length', entry('"start": 0')],
    ['a negative start', entry('"start": -1, "length": 1')],
    ['a length beyond 2^53', entry('"start": 0, "length": 9007199254740993')],
    ['a length that is text', entry('"start": 0, "length": "1"')],
    ['a second list', `${EMPTY}${EMPTY}`],
    ['two lists in one', MAP.replace(',\n', ',\n[')],
    ['no JSON', '[{ start: 0 }]\n'],
    ['a line without an end', `[{ "start": 0, ${' '.repeat(20_000)}`],
  ];
  for (const [name, text] of faults) {
    it(`refuses ${name}`, () => assert.throws(() => decode(text), { code: 'VB_FILE_MAP' }));
  }

  it('calls data what is called neither data nor zero', () => {
    assert.deepEqual(decode(entry('"start": 0, "length": 512, "zero": false, "data": false')), [
      { offset: 0, length: 512, kind: 'data' },
    ]);
  });
});
