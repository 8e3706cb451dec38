/**
 * What maps and copies single devices: files, block devices and NBD exports. The main entry exports all of it as well, and
 * takes three times as long to load, for the schemas of repositories and the container of plugins.
 */
export { type CopyDeviceJob, type CopyDeviceSummary, copyDevice } from './backup/copy/copy-device.js';
export { type FirstDifferenceOptions, firstDifference } from './backup/diff/first-difference.js';
export { type FileTargetOptions, openFileTarget } from './backup/target/file-target.js';
export { openFileReader } from './filemap/file-reader.js';
export { openFilemap } from './filemap/open-filemap.js';
export { type QemuMapOptions, qemuMapJson } from './filemap/qemu-map-json.js';
export { sparseCopy } from './filemap/sparse-copy.js';
export { loadNbdUri, NbdClient, type NbdTargetOptions, openNbdTarget } from './nbd/device.js';
export { IMAGE_HEAD_LENGTH, imageFormatOf } from './qemu/image-magic.js';
