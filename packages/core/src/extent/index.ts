export * from './extent.js';
export * from './extent-list.js';
export * from './operations.js';
