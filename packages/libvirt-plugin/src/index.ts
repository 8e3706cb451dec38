export { type ExportOpener, ExportOpenerToken, type JobExport } from './backup/index.js';
export * from './connection/index.js';
export { libvirtPlugin } from './plugin.js';
export { openLibvirt } from './process/index.js';
