export * from './deferred.js';
export * from './fake-disk.js';
export * from './fake-hypervisor.js';
export * from './memory-export.js';
export * from './nbd-credentials.js';
export * from './nbd-fixture.js';
export * from './raw-client.js';
export * from './tools.js';
