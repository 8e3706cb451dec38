export { type DiffDeviceOptions, diffDevice } from './diff-device.js';
export { type DiffImagesOptions, diffImages } from './diff-images.js';
export type { ChangedExtent } from './differing-extents.js';
export { type FirstDifferenceOptions, firstDifference } from './first-difference.js';
