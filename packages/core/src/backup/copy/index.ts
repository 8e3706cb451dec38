export { type CopyDeviceJob, type CopyDeviceSummary, copyDevice } from './copy-device.js';
export { type CopyOptions, type CopySummary, copyDisk } from './copy-disk.js';
export { type PlannedRange, type PlanOptions, planCopy } from './plan-copy.js';
