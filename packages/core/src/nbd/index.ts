export * from './connect-options.js';
export * from './server/index.js';
export * from './words.js';
