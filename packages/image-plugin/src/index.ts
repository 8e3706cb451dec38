export { filePlugin } from './file/plugin.js';
export { nbdPlugin } from './nbd/plugin.js';
