export { openFileReader } from './file-reader.js';
export * from './filemap.js';
export * from './libc.js';
export { loadLibc } from './load-libc.js';
export { openFilemap } from './open-filemap.js';
export { type QemuMapOptions, qemuMapJson } from './qemu-map-json.js';
export { sparseCopy } from './sparse-copy.js';
export * from './sparse-copy-job.js';
export * from './system-call-error.js';
