export * from './disk-export.js';
export * from './overlay/index.js';
export * from './served-disk.js';
