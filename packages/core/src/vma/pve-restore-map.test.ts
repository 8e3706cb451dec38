import assert from 'node:assert/strict';
import { parseRestoreMap } from './pve-restore-map.js';

const scsi = { id: 1, name: 'drive-scsi0', size: 512 };
const odd = { id: 2, name: 'a=b', size: 512 };

describe('parseRestoreMap', () => {
  it('reads what qmrestore writes, options and all', () => {
    const lines = [
      'format=raw:throttling.bps=1048576:throttling.group=restore:1:drive-scsi0=/dev/vg/a=1:2',
      'skip=a=b',
    ];
    assert.deepEqual(parseRestoreMap(lines, [scsi, odd]), [
      {
        device: scsi,
        path: '/dev/vg/a=1:2',
        format: 'raw',
        writeZeros: true,
        others: ['throttling.bps=1048576', 'throttling.group=restore'],
      },
    ]);
    assert.deepEqual(parseRestoreMap(['0:a=b=/x'], [odd]), [
      { device: odd, path: '/x', format: undefined, writeZeros: false, others: [] },
    ]);
  });

  for (const [what, lines] of [
    ['a device without a line', []],
    ['a device with two lines', ['0:drive-scsi0=/a', 'skip=drive-scsi0']],
    ['an unknown device', ['0:drive-scsi1=/a']],
    ['an unknown device that is skipped', ['skip=drive-scsi1']],
    ['a line without a path', ['0:drive-scsi0=']],
    ['a line without 0 or 1', ['drive-scsi0=/a']],
    ['words', ['hello']],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseRestoreMap(lines, [scsi]), { code: 'VB_INVALID_ARGUMENT' });
    });
  }
});
