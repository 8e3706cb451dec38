export * from './filemap.js';
export * from './libc.js';
export { loadLibc } from './load-libc.js';
export * from './system-call-error.js';
