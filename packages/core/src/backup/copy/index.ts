export { type CopyDeviceJob, type CopyDeviceSummary, copyDevice } from './copy-device.js';
export { type CopyOptions, type CopySummary, copyDisk } from './copy-disk.js';
