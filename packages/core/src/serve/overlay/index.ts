export { OverlayFolder, type OverlayKey } from './overlay-folder.js';
