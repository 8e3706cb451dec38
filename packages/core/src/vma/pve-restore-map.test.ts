import assert from 'node:assert/strict';
import type { VmaDevice } from './archive.js';
import { type PveRestoreTarget, parseRestoreMap } from './pve-restore-map.js';

const scsi = { id: 1, name: 'drive-scsi0', size: 512 };
const odd = { id: 2, name: 'a=b', size: 512 };
const memory = { id: 3, name: 'vmstate', size: 512 };

const plain = (device: VmaDevice, path: string): PveRestoreTarget => ({
  device,
  path,
  format: undefined,
  writeZeros: false,
  bytesPerSecond: undefined,
  group: undefined,
  others: [],
});

describe('parseRestoreMap', () => {
  it('reads what qmrestore writes, options and all', () => {
    const lines = [
      'format=raw:throttling.bps=1048576:throttling.group=restore:cache=none:throttling.iops=5:1:drive-scsi0=/dev/vg/a=1:2',
      'skip=a=b',
    ];
    assert.deepEqual(parseRestoreMap(lines, [scsi, odd]), [
      {
        device: scsi,
        path: '/dev/vg/a=1:2',
        format: 'raw',
        writeZeros: true,
        bytesPerSecond: 1048576,
        group: 'restore',
        others: ['throttling.iops=5'],
      },
    ]);
    assert.deepEqual(parseRestoreMap(['0:a=b=/x'], [odd]), [plain(odd, '/x')]);
    assert.deepEqual(parseRestoreMap(['throttling.bps=0:0:a=b=/x'], [odd]), [plain(odd, '/x')]);
  });

  it('wants no line for the memory of a guest, and takes one', () => {
    assert.deepEqual(parseRestoreMap(['0:a=b=/x'], [odd, memory]), [plain(odd, '/x')]);
    assert.deepEqual(parseRestoreMap(['0:a=b=/x', '0:vmstate=/y'], [odd, memory]), [
      plain(odd, '/x'),
      plain(memory, '/y'),
    ]);
    assert.deepEqual(parseRestoreMap(['skip=vmstate'], [memory]), []);
  });

  for (const [what, lines] of [
    ['a device without a line', []],
    ['a device with two lines', ['0:drive-scsi0=/a', 'skip=drive-scsi0']],
    ['an unknown device', ['0:drive-scsi1=/a']],
    ['an unknown device that is skipped', ['skip=drive-scsi1']],
    ['a line without a path', ['0:drive-scsi0=']],
    ['a line without 0 or 1', ['drive-scsi0=/a']],
    ['words', ['hello']],
    ['a rate that is none', ['throttling.bps=fast:0:drive-scsi0=/a']],
    ['a rate without a number', ['throttling.bps=:0:drive-scsi0=/a']],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseRestoreMap(lines, [scsi]), { code: 'VB_INVALID_ARGUMENT' });
    });
  }
});
