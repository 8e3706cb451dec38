export { type Mount, type MountedDisk, type MountOptions, mountFiles, mountImages } from './mount-disks.js';
export { unmount } from './unmount.js';
