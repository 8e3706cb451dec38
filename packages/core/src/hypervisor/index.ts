export * from './block-device.js';
export * from './hypervisor.js';
export * from './options.js';
export * from './tokens.js';
