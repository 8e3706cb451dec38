import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatBytes, formatPercent, formatSeconds, printable } from './format.js';
import { pairLines, tableLines } from './table.js';

describe('formatBytes', () => {
  for (const [bytes, text] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [1536 * 1024 ** 2, '1.5 GiB'],
    [Number.MAX_SAFE_INTEGER, '8.0 PiB'],
  ] as const) {
    it(`writes ${bytes} as ${text}`, () => assert.equal(formatBytes(bytes), text));
  }

  it('never writes a number of four digits before a unit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1024, max: Number.MAX_SAFE_INTEGER }), (bytes) => {
        assert.match(formatBytes(bytes), /^(\d{1,3}|10[01]\d|102[0-3])\.\d [KMGTP]iB$/);
      }),
    );
  });
});

describe('formatSeconds', () => {
  it('writes a clock', () => {
    assert.deepEqual([0, 59.6, 61, 3600, 90_061].map(formatSeconds), ['0:00', '1:00', '1:01', '1:00:00', '25:01:01']);
  });
});

describe('formatPercent', () => {
  it('says 100 only at the end, and of nothing too', () => {
    assert.deepEqual(
      [formatPercent(999, 1000), formatPercent(1000, 1000), formatPercent(0, 0)],
      ['99%', '100%', '100%'],
    );
  });
});

describe('printable', () => {
  it('takes away everything that could move the cursor or hide text', () => {
    assert.equal(printable('a\x1b[2Jb\r\nc\u202ed\te\u2028f'), 'a\ufffd[2Jb\ufffd\ufffdc\ufffdd e\ufffdf');
  });
});

describe('tableLines', () => {
  it('aligns columns, and ends no line with a space', () => {
    const columns = [
      { title: 'ID', align: 'left' },
      { title: 'SIZE', align: 'right' },
      { title: 'NAME', align: 'left' },
    ] as const;
    const rows = [
      ['abc', '1 B', ''],
      ['a', '10 KiB', 'x'],
    ];
    assert.deepEqual(tableLines(columns, rows), ['ID     SIZE  NAME', 'abc     1 B', 'a    10 KiB  x']);
  });

  it('puts values of pairs in one column', () => {
    assert.deepEqual(
      pairLines([
        ['a', '1'],
        ['long', ''],
      ]),
      ['a     1', 'long'],
    );
  });
});
