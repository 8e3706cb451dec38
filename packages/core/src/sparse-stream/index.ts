export * from './adler32.js';
export * from './decoder.js';
export * from './encoder.js';
export * from './file.js';
export * from './frame-header.js';
export * from './lz4.js';
export * from './meta.js';
export * from './peer-files.js';
export { MAX_TRAILER_ENTRIES } from './trailer-encode.js';
