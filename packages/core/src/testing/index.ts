export * from './deferred.js';
export * from './memory-export.js';
export * from './nbd-credentials.js';
export * from './nbd-fixture.js';
export * from './raw-client.js';
export * from './tools.js';
