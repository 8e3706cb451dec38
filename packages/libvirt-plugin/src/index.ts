export { libvirtPlugin } from './plugin.js';
