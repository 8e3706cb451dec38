export { addBitmap, type BitmapEdit, removeBitmap } from './bitmaps.js';
export { type DataEndOptions, imageDataEnd } from './data-end.js';
export type { DirtyBitmap, ImageInfo, Qcow2Features } from './image-info.js';
export { IMAGE_HEAD_LENGTH, imageFormatOf } from './image-magic.js';
export { openQcow2Target, type Qcow2Shape, type Qcow2TargetOptions } from './qcow2-target.js';
export { newQemuFolder, removeQemuFolder } from './qemu-folder.js';
export { QemuNbd, type QemuNbdOptions } from './qemu-nbd.js';
export { type ImageInfoOptions, imageInfo } from './query-image.js';
export { qemuVersion } from './run-qemu.js';
