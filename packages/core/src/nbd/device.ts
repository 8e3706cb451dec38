/** An NBD export as a device: what a command loads before its first byte, without servers and TLS. */
export { NbdClient } from './client.js';
export { inspectExport } from './inspect.js';
export { type NbdTargetOptions, openNbdTarget } from './target.js';
export { loadNbdUri } from './uri-loader.js';
export { NBD_PORT } from './words.js';
