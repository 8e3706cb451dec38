import assert from 'node:assert/strict';
import { deviceName, deviceNumbers } from './device-numbers.js';
import { isListed } from './image-lock.js';

const IMAGE = { dev: 0xfe00n, ino: 2_146_323n };

describe('/proc/locks', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146323 101 101', true],
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146323 100 103', true],
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146323 103 103', true],
    ['9: POSIX  ADVISORY  WRITE 812 fe:00:2146323 0 EOF', true],
    ['9: POSIX  ADVISORY  WRITE 812 fe:00:2146323 0 0', true],
    ['9: POSIX  ADVISORY  READ 812 fe:00:2146323 0 0', false],
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146323 203 203', false],
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146323 100 100', false],
    ['2: OFDLCK ADVISORY  READ -1 fe:00:2146324 101 101', false],
    ['2: OFDLCK ADVISORY  READ -1 fe:01:2146323 101 101', false],
    ['2: FLOCK  ADVISORY  WRITE 812 fe:00:2146323 0 EOF', false],
    ['2: -> OFDLCK ADVISORY  READ -1 fe:00:2146323 101 101', false],
  ];
  for (const [line, locked] of cases) {
    it(`says ${locked ? 'locked' : 'free'}: ${line}`, () => {
      assert.equal(isListed(`1: POSIX  ADVISORY  WRITE 1 00:2a:7 0 EOF\n${line}\n`, IMAGE), locked);
    });
  }

  it('has devices of large numbers', () => {
    assert.deepEqual(deviceNumbers(0xfe00n), { major: 254, minor: 0 });
    assert.deepEqual(deviceNumbers(0x0000_1000_1ff1_23ffn), { major: 0x1123, minor: 0x1ffff });
    assert.equal(deviceName(0x801n), '8:1');
  });
});
