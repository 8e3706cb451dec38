export * from './extent.js';
export * from './operations.js';
