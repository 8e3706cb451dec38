import assert from 'node:assert/strict';
import { fileSystemName, fileSystemWarning, isMadeByTheKernel } from './file-systems.js';

describe('file systems', () => {
  it('have the names of statfs(2), also where their number came with a sign, or their number', () => {
    assert.deepEqual([0xef53, 0x2fc12fc1, 0x9123683e, -0x6edc97c2, 0x12345].map(fileSystemName), [
      'ext4',
      'zfs',
      'btrfs',
      'btrfs',
      '0x12345',
    ]);
  });

  it('are refused only where the kernel makes up what is in them', () => {
    assert.deepEqual(['proc', 'sysfs', 'cgroup2', 'tmpfs', '0x12345'].map(isMadeByTheKernel), [
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it('ZFS is warned about, unless everything is read', () => {
    const warned = (['seek', 'qemu-img', 'scan', 'none'] as const).map(
      (method) => fileSystemWarning('zfs', { path: '/tank/a', method })?.code,
    );
    assert.deepEqual(warned, ['VB_FILE_ZFS', 'VB_FILE_ZFS', undefined, undefined]);
    assert.equal(fileSystemWarning('ext4', { path: '/a', method: 'seek' }), undefined);
  });
});
