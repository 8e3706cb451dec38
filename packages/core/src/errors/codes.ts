// Codes only grow; messages may change. Every code has a section in docs/errors.md, which a test holds in step.

/** What can go wrong in any room. */
export const GENERAL_CODES = [
  'VB_ABORTED',
  'VB_INVALID_ARGUMENT',
  'VB_NUMBER_TOO_LARGE',
  'VB_IO',
  'VB_NO_SPACE',
  'VB_ACCESS_DENIED',
  'VB_UNSUPPORTED',
  'VB_INTERNAL',
] as const;

/** Protocol and transport of the NBD client and server. */
export const NBD_CODES = [
  'VB_NBD_SERVER_LISTEN',
  'VB_NBD_SERVER_PEER_GONE',
  'VB_NBD_SERVER_PROTOCOL',
  'VB_NBD_SERVER_TLS',
  'VB_NBD_SERVER_TIMEOUT',
  'VB_NBD_CONNECT',
  'VB_NBD_NOT_A_SERVER',
  'VB_NBD_OLDSTYLE',
  'VB_NBD_OPTION_REPLY',
  'VB_NBD_EXPORT_NOT_FOUND',
  'VB_NBD_EXPORT_REFUSED',
  'VB_NBD_EXPORT_CHANGED',
  'VB_NBD_LIST_REFUSED',
  'VB_NBD_BLOCK_SIZE',
  'VB_NBD_TLS',
  'VB_NBD_TLS_REQUIRED',
  'VB_NBD_TLS_UNAVAILABLE',
  'VB_NBD_TLS_INJECTION',
  'VB_NBD_CERTIFICATE',
  'VB_NBD_HANDSHAKE_TIMEOUT',
  'VB_NBD_REQUEST_TIMEOUT',
  'VB_NBD_REQUEST_FAILED',
  'VB_NBD_READ_ONLY',
  'VB_NBD_REPLY_MAGIC',
  'VB_NBD_REPLY_COOKIE',
  'VB_NBD_REPLY_CHUNK',
  'VB_NBD_REPLY_STATUS',
  'VB_NBD_REPLY_INCOMPLETE',
  'VB_NBD_DISCONNECTED',
  'VB_NBD_CLOSED',
  'VB_NBD_URI',
  'VB_NBD_TARGET_SIZE',
] as const;

/** Faults of SparseStream files and chains. */
export const SPARSE_STREAM_CODES = [
  'VB_SPARSE_HEADER',
  'VB_SPARSE_META',
  'VB_SPARSE_VERSION',
  'VB_SPARSE_FRAME',
  'VB_SPARSE_ORDER',
  'VB_SPARSE_COVER',
  'VB_SPARSE_TRUNCATED',
  'VB_SPARSE_DATA_SIZE',
  'VB_SPARSE_TRAILER',
  'VB_SPARSE_EXCESS',
  'VB_SPARSE_LIMIT',
  'VB_SPARSE_LZ4',
  'VB_SPARSE_LZ4_CHECKSUM',
  'VB_SPARSE_LZ4_LENGTH',
  'VB_CHAIN_MISSING',
  'VB_CHAIN_DOUBLED',
  'VB_CHAIN_FOREIGN',
  'VB_CHAIN_CHANGED',
] as const;

/** Plugins, their options, and what hypervisors answer. */
export const HYPERVISOR_CODES = [
  'VB_PLUGIN_NOT_FOUND',
  'VB_PLUGIN_INVALID',
  'VB_PLUGIN_OPTION',
  'VB_GUEST_NOT_FOUND',
] as const;

/** Repository, chains, backup, verify and restore. */
export const BACKUP_CODES = [
  'VB_REPOSITORY_NOT_FOUND',
  'VB_REPOSITORY_VERSION',
  'VB_REPOSITORY_DAMAGED',
  'VB_REPOSITORY_LOCKED',
  'VB_BACKUP_NOT_FOUND',
  'VB_BACKUP_AMBIGUOUS',
  'VB_CHAIN_BROKEN',
  'VB_CHAIN_ABANDONED',
  'VB_TRACKING_MISSED_CHANGES',
  'VB_MANIFEST_DAMAGED',
  'VB_INDEX_DAMAGED',
  'VB_FILE_MISSING',
  'VB_FILE_SIZE',
  'VB_FILE_DIGEST',
  'VB_FRAME_DIGEST',
  'VB_FRAME_DAMAGED',
  'VB_SNAPSHOT_INVALID',
  'VB_COMMIT_INCOMPLETE',
  'VB_CLEANUP_INCOMPLETE',
  'VB_TARGET_EXISTS',
  'VB_TARGET_INVALID',
  'VB_TARGET_TOO_SMALL',
  'VB_TARGET_SIZE',
  'VB_TARGET_MIXED',
  'VB_OVERLAY_OTHER',
  'VB_OVERLAY_DAMAGED',
  'VB_OVERLAY_LOCKED',
] as const;

/** Files and block devices on this machine, and the programs of QEMU that open images. */
export const FILE_CODES = [
  'VB_FILE_NOT_FOUND',
  'VB_FILE_CHANGED',
  'VB_FILE_TYPE',
  'VB_FILE_SHORT',
  'VB_FILE_SAME',
  'VB_FILE_MAP',
  'VB_FILE_MAP_METHOD',
  'VB_FILE_ZFS',
  'VB_COPY_DIFFERS',
  'VB_IMAGE_LOCKED',
  'VB_IMAGE_FORMAT',
  'VB_IMAGE_FLATTENED',
  'VB_BITMAP_UNTRUSTED',
  'VB_QEMU_MISSING',
  'VB_QEMU_FAILED',
] as const;

/** Faults of VMA archives: those of specs A.1.5 by the name they have there, and what a writer cannot store. */
export const VMA_CODES = [
  'VB_VMA_TRUNCATED_HEADER',
  'VB_VMA_BAD_MAGIC',
  'VB_VMA_BAD_VERSION',
  'VB_VMA_BAD_HEADER_SIZE',
  'VB_VMA_HEADER_MD5',
  'VB_VMA_BAD_BLOB_BUFFER',
  'VB_VMA_BAD_CONFIG_POINTER',
  'VB_VMA_BAD_DEVICE_POINTER',
  'VB_VMA_EXTENT_MAGIC',
  'VB_VMA_EXTENT_MD5',
  'VB_VMA_EXTENT_UUID',
  'VB_VMA_BLOCK_COUNT',
  'VB_VMA_TRUNCATED_EXTENT',
  'VB_VMA_TRAILING_DATA',
  'VB_VMA_DUPLICATE_CLUSTER',
  'VB_VMA_MISSING_CLUSTER',
  'VB_VMA_CLUSTER_RANGE',
  'VB_VMA_BLOCK_RANGE',
  'VB_VMA_UNKNOWN_DEVICE',
  'VB_VMA_VMSTATE_ORDER',
  'VB_VMA_UNSAFE_NAME',
  'VB_VMA_DUPLICATE_NAME',
  'VB_VMA_NOT_FOUND',
  'VB_VMA_LIMIT',
  'VB_VMA_COMPRESSION',
  'VB_VMA_WRITE',
  'VB_VMA_DIGEST',
  'VB_VMA_SIDECAR',
] as const;

export const CORE_ERROR_CODES = [
  ...GENERAL_CODES,
  ...NBD_CODES,
  ...SPARSE_STREAM_CODES,
  ...HYPERVISOR_CODES,
  ...BACKUP_CODES,
  ...FILE_CODES,
  ...VMA_CODES,
] as const;

export type CoreErrorCode = (typeof CORE_ERROR_CODES)[number];

/** Codes of the command and of plugins carry the name of their owner. */
export type OwnedErrorCode = `VB_CLI_${string}` | `VB_XEN_${string}` | `VB_LIBVIRT_${string}` | `VB_PLUGIN_${string}`;

export type ErrorCode = CoreErrorCode | OwnedErrorCode;
