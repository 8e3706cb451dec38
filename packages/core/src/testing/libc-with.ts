import type { Libc } from '../filemap/index.js';

/** A {@link Libc} that answers some calls itself. */
export const libcWith = (libc: Libc, own: Partial<Libc>): Libc => ({
  seekData: (file, offset) => libc.seekData(file, offset),
  seekHole: (file, offset) => libc.seekHole(file, offset),
  blockSize: (file) => libc.blockSize(file),
  deviceSize: (file) => libc.deviceSize(file),
  sectorSize: (file) => libc.sectorSize(file),
  fiemap: (file, request) => libc.fiemap(file, request),
  clone: (files) => libc.clone(files),
  fallocate: (file, mode, range) => libc.fallocate(file, mode, range),
  copyFileRange: (request) => libc.copyFileRange(request),
  zeroDevice: (file, range) => libc.zeroDevice(file, range),
  discardDevice: (file, range) => libc.discardDevice(file, range),
  lockHeld: (file, range) => libc.lockHeld(file, range),
  tryLock: (file, range) => libc.tryLock(file, range),
  ...own,
});
