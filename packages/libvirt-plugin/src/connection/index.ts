export * from './connection.js';
export * from './errors.js';
export * from './events.js';
export * from './facts.js';
export { LIBVIRT_CODES } from './meaning.js';
export * from './monitor-commands.js';
export * from './tokens.js';
