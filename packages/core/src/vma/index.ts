export * from './archive.js';
export { ArchiveDigester, type DigesterOptions } from './archive-digester.js';
export { fileChunks, type ReadArchiveOptions, readArchive } from './archive-file.js';
export * from './archive-output.js';
export { compatListLines } from './compat-list.js';
export { type ArchiveCompression, COMPRESSION_MAGIC_LENGTH } from './compression.js';
export { type ContentCheck, DeviceDigest } from './content-order.js';
export { DamageList, damageError } from './damage.js';
export { VmaDecoder, type VmaDecoderOptions } from './decoder.js';
export { type DecompressOptions, type Opened, openCompressed } from './decompress.js';
export type { WrittenDevice } from './device-clusters.js';
export {
  type DigestArchiveOptions,
  type DigestibleArchive,
  type DigestibleImage,
  digestArchive,
} from './digest-archive.js';
export { DigestingSink } from './digesting-sink.js';
export type { VmaSink } from './extent-output.js';
export {
  type ExtractedDevice,
  type ExtractOptions,
  type ExtractReport,
  type ExtractTarget,
  extractArchive,
  type PlanExtraction,
} from './extract-archive.js';
export { beginsArchive } from './header-decode.js';
export * from './identity.js';
export { type ImageReadOptions, type VmaFingerprint, VmaImageReader } from './image-reader.js';
export { type DeviceFacts, isVmstate } from './ledger.js';
export { PIECE_LENGTH, PieceDigests, type PieceHasher, plainHasher } from './piece-digests.js';
export type { PositionSource } from './position-file.js';
export { PVE_CONFIG_NAME, type PveConfig, type PveDisk, pveConfig, withoutMapsOf } from './pve-config.js';
export * from './pve-name.js';
export { type PveRestoreTarget, parseRestoreMap } from './pve-restore-map.js';
export {
  type OpenArchiveOptions,
  type OpenSourceOptions,
  openArchiveAt,
  openVmaArchive,
  VmaArchive,
} from './random-access.js';
export { type ArchiveBeginning, readArchiveHeader } from './read-header.js';
export { unsafeNameReason } from './safe-name.js';
export * from './sidecar.js';
export { sidecarChecks } from './sidecar-check.js';
export { SidecarDecoder } from './sidecar-decode.js';
export { readSidecar, writeSidecar } from './sidecar-file.js';
export type { NewVmaArchive, NewVmaDevice } from './specification.js';
export { openStreamTarget } from './stream-target.js';
export type { DeviceReport, VerifyArchiveOptions, VerifyProgress, VmaReport } from './verification.js';
export { type VerifySource, verifyArchive } from './verify.js';
export * from './words.js';
export * from './writer.js';
