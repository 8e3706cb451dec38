export { type FileTargetOptions, openFileTarget } from './file-target.js';
