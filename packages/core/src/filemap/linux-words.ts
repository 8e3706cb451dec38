// Numbers of Linux as x86-64, arm64, riscv64 and loong64 have them (include/uapi); others encode ioctl numbers differently.

/** lseek(2): the first data at or behind an offset. */
export const SEEK_DATA = 3;
/** lseek(2): the first hole at or behind an offset; the end of the file counts as one. */
export const SEEK_HOLE = 4;

/** `_IOWR('f', 11, struct fiemap)`, linux/fs.h */
export const FS_IOC_FIEMAP = 0xc020660b;
/** `_IO(0x00, 2)`: the block size of a file system, linux/fs.h */
export const FIGETBSZ = 2;
/** `_IOW(0x94, 9, int)`, linux/fs.h */
export const FICLONE = 0x40049409;
/** `_IO(0x12, 104)`: the logical sector of a device, linux/fs.h */
export const BLKSSZGET = 0x1268;
/** `_IO(0x12, 119)`: takes u64[2], offset and length, linux/fs.h */
export const BLKDISCARD = 0x1277;
/** `_IO(0x12, 127)`: takes u64[2], offset and length, linux/fs.h */
export const BLKZEROOUT = 0x127f;
/** `_IOR(0x12, 114, size_t)`: a device's length in bytes, linux/fs.h */
export const BLKGETSIZE64 = 0x80081272;

/** What fallocate(2) is to do. `punch` and the two ending in `keep-size` never change the length of the file. */
export const FALLOCATE_MODES = {
  allocate: 0x00,
  /** FALLOC_FL_KEEP_SIZE */
  'allocate-keep-size': 0x01,
  /** FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE, which it demands */
  punch: 0x03,
  /** FALLOC_FL_ZERO_RANGE */
  zero: 0x10,
  /** FALLOC_FL_ZERO_RANGE and FALLOC_FL_KEEP_SIZE */
  'zero-keep-size': 0x11,
} as const;

/** fcntl(2), "Open file description locks" */
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
