export * from './block-device.js';
export * from './hypervisor.js';
export * from './machine.js';
export * from './option-values.js';
export * from './options.js';
export * from './registry.js';
export * from './tokens.js';
