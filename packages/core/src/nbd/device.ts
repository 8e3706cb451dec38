/** An NBD export as a device that is read or written, and nothing else: what a command loads before its first byte. */
export { NbdClient } from './client.js';
export { type NbdTargetOptions, openNbdTarget } from './target.js';
export { loadNbdUri } from './uri-loader.js';
