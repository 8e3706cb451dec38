import assert from 'node:assert/strict';
import { parseMounts, parseSwaps } from './device-use.js';

describe('/proc/self/mountinfo', () => {
  it('says what is mounted where, and whether it is written to', () => {
    const text = [
      '24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
      '36 35 98:0 /mnt1 /mnt\\0402 ro,noatime master:1 - ext3 /dev/root rw,errors=continue',
      '40 24 7:1 / /iso ro - iso9660 /dev/loop1 ro,utf8',
      '41 24 0:44 /@ /data rw shared:2 - btrfs /dev/mapper/vg-data rw,space_cache',
      '',
    ].join('\n');
    assert.deepEqual(parseMounts(text), [
      { device: '254:0', source: '/dev/vda', point: '/', writable: true },
      { device: '98:0', source: '/dev/root', point: '/mnt 2', writable: true },
      { device: '7:1', source: '/dev/loop1', point: '/iso', writable: false },
      { device: '0:44', source: '/dev/mapper/vg-data', point: '/data', writable: true },
    ]);
  });
});

describe('/proc/swaps', () => {
  it('names files and devices', () => {
    const text = [
      'Filename                                Type            Size            Used            Priority',
      '/dev/dm-1                               partition       4194300         0               -2',
      '/swap\\040file                          file            1048572         12              -3',
      '',
    ].join('\n');
    assert.deepEqual(parseSwaps(text), ['/dev/dm-1', '/swap file']);
    assert.deepEqual(parseSwaps(''), []);
  });
});
