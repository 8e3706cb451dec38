export * from './backup/index.js';
export * from './bytes/index.js';
export * from './errors/index.js';
export * from './extent/index.js';
export * from './hypervisor/index.js';
export * from './nbd/index.js';
export * from './sparse-stream/index.js';
