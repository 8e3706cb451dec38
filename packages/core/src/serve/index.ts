export * from './disk-export.js';
export * from './served-disk.js';
