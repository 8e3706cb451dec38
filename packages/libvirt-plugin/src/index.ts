export * from './connection/index.js';
export { libvirtPlugin } from './plugin.js';
export { openLibvirt } from './process/index.js';
