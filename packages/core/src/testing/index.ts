export * from './memory-export.js';
export * from './nbd-credentials.js';
export * from './nbd-fixture.js';
export * from './tools.js';
