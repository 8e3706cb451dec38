export * from './byte-queue.js';
export * from './uint64.js';
