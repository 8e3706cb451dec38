export { OverlayFolder } from './overlay-folder.js';
