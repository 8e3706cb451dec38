export * from './archive.js';
export * from './words.js';
