export * from './archive.js';
export { damageError } from './damage.js';
export { VmaDecoder, type VmaDecoderOptions } from './decoder.js';
export { type DeviceFacts, isVmstate } from './ledger.js';
export { unsafeNameReason } from './safe-name.js';
export * from './words.js';
