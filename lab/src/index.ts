export * from './libvirt/index.js';
export * from './pki/index.js';
export * from './xapi/index.js';
export * from './xapi-nbd/index.js';
