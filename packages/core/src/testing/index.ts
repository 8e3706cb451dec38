export * from './memory-export.js';
export * from './tools.js';
