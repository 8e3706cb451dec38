export { type OpenInChildOptions, openLibvirt } from './open.js';
