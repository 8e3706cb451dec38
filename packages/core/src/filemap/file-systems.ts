import type { Warning } from '../hypervisor/index.js';
import type { MapMethod } from './filemap.js';

/** f_type of statfs(2): linux/magic.h and the file systems' own headers. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x6969, 'nfs'],
  [0x2fc12fc1, 'zfs'],
  [0x794c7630, 'overlay'],
  [0x65735546, 'fuse'],
  [0x73717368, 'squashfs'],
  [0xe0f5e1e2, 'erofs'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x00c36400, 'ceph'],
  [0xca451a4e, 'bcachefs'],
  [0xf2f52010, 'f2fs'],
  [0x01021997, '9p'],
  [0x4d44, 'vfat'],
  [0x2011bab0, 'exfat'],
  [0x9660, 'iso9660'],
  [0x858458f6, 'ramfs'],
  [0x958458f6, 'hugetlbfs'],
  [0x9fa0, 'proc'],
  [0x62656572, 'sysfs'],
  [0x64626720, 'debugfs'],
  [0x74726163, 'tracefs'],
  [0x62656570, 'configfs'],
  [0x73636673, 'securityfs'],
  [0x63677270, 'cgroup2'],
  [0x27e0eb, 'cgroup'],
  [0x6165676c, 'pstore'],
  [0xde5e81e4, 'efivarfs'],
  [0xcafe4a11, 'bpf'],
]);

/** Their files are made while they are read: what stat(2) says of their length is wrong, and a map of them means nothing. */
const MADE_BY_THE_KERNEL: ReadonlySet<string> = new Set([
  'proc',
  'sysfs',
  'debugfs',
  'tracefs',
  'configfs',
  'securityfs',
  'cgroup2',
  'cgroup',
  'pstore',
  'efivarfs',
  'bpf',
]);

/** The name of a file system by its number in statfs(2); the number in hexadecimal where it has no name here. */
export function fileSystemName(type: number): string {
  // The numbers have 32 bits; Node gives those above 2^31 as they are, and a 32-bit kernel as negative ones.
  const unsigned = type < 0 ? type + 0x1_0000_0000 : type;
  return NAMES.get(unsigned) ?? `0x${unsigned.toString(16)}`;
}

/** Whether regular files of this file system are no files on a disk. */
export const isMadeByTheKernel = (fileSystem: string): boolean => MADE_BY_THE_KERNEL.has(fileSystem);

/**
 * What has to be known about files of this file system; undefined for most.
 * SEEK_HOLE of ZFS called dirty data a hole: openzfs issues 11900, 15526 and 15933.
 */
export function fileSystemWarning(
  fileSystem: string,
  { path, method }: { readonly path: string; readonly method: MapMethod },
): Warning | undefined {
  if (fileSystem !== 'zfs' || method === 'scan' || method === 'none') return undefined;
  const message = `${path} is on ZFS, which has called data that was just written a hole; the methods scan and none are safe`;
  return { code: 'VB_FILE_ZFS', message };
}
