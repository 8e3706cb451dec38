import type { StopSignal } from './world.js';

/** Every exit code of the command. They are a promise: only new ones may join. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  partial: 3,
  notFound: 10,
  locked: 11,
  accessRefused: 12,
  chainBroken: 13,
  damageFound: 14,
  defect: 70,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** One row per error code that says more than "failed"; every other code exits with 1. */
export const EXIT_BY_CODE: Readonly<Record<string, number>> = {
  VB_CLI_USAGE: EXIT.usage,
  VB_CLI_UNKNOWN_COMMAND: EXIT.usage,
  VB_CLI_SECRET_AS_ARGUMENT: EXIT.usage,
  VB_CLI_FOREIGN_OPTION: EXIT.usage,
  VB_CLI_CONFIGURATION: EXIT.usage,
  VB_INVALID_ARGUMENT: EXIT.usage,
  VB_BACKUP_AMBIGUOUS: EXIT.usage,
  VB_PLUGIN_NOT_FOUND: EXIT.usage,
  VB_PLUGIN_OPTION: EXIT.usage,
  VB_XEN_URL: EXIT.usage,
  VB_XEN_FINGERPRINT: EXIT.usage,
  VB_XEN_CA: EXIT.usage,
  VB_XEN_SELECTOR: EXIT.usage,
  VB_XEN_AMBIGUOUS: EXIT.usage,
  VB_XEN_TARGET: EXIT.usage,
  VB_LIBVIRT_SELECTOR: EXIT.usage,
  VB_NBD_URI: EXIT.usage,
  VB_FILE_TYPE: EXIT.usage,
  VB_IMAGE_FORMAT: EXIT.usage,
  VB_REPOSITORY_NOT_FOUND: EXIT.notFound,
  VB_BACKUP_NOT_FOUND: EXIT.notFound,
  VB_GUEST_NOT_FOUND: EXIT.notFound,
  VB_FILE_NOT_FOUND: EXIT.notFound,
  VB_MOUNT_NOT_FOUND: EXIT.notFound,
  VB_VMA_NOT_FOUND: EXIT.notFound,
  VB_XEN_SR_NOT_FOUND: EXIT.notFound,
  VB_NBD_EXPORT_NOT_FOUND: EXIT.notFound,
  VB_REPOSITORY_LOCKED: EXIT.locked,
  VB_IMAGE_LOCKED: EXIT.locked,
  VB_OVERLAY_LOCKED: EXIT.locked,
  VB_ACCESS_DENIED: EXIT.accessRefused,
  VB_XEN_AUTHENTICATION: EXIT.accessRefused,
  VB_XEN_PERMISSION: EXIT.accessRefused,
  VB_XEN_CERTIFICATE_UNTRUSTED: EXIT.accessRefused,
  VB_XEN_FINGERPRINT_MISMATCH: EXIT.accessRefused,
  VB_XEN_NBD_CERTIFICATE: EXIT.accessRefused,
  VB_LIBVIRT_AUTHENTICATION: EXIT.accessRefused,
  VB_LIBVIRT_ACCESS_DENIED: EXIT.accessRefused,
  VB_LIBVIRT_READ_ONLY: EXIT.accessRefused,
  VB_LIBVIRT_TLS: EXIT.accessRefused,
  VB_NBD_CERTIFICATE: EXIT.accessRefused,
  VB_NBD_EXPORT_REFUSED: EXIT.accessRefused,
  VB_CHAIN_BROKEN: EXIT.chainBroken,
  VB_CHAIN_MISSING: EXIT.chainBroken,
  VB_CHAIN_DOUBLED: EXIT.chainBroken,
  VB_CHAIN_FOREIGN: EXIT.chainBroken,
  VB_CHAIN_CHANGED: EXIT.chainBroken,
  VB_COPY_DIFFERS: EXIT.damageFound,
  VB_VMA_TRUNCATED_HEADER: EXIT.damageFound,
  VB_VMA_BAD_MAGIC: EXIT.damageFound,
  VB_VMA_BAD_VERSION: EXIT.damageFound,
  VB_VMA_BAD_HEADER_SIZE: EXIT.damageFound,
  VB_VMA_HEADER_MD5: EXIT.damageFound,
  VB_VMA_BAD_BLOB_BUFFER: EXIT.damageFound,
  VB_VMA_BAD_CONFIG_POINTER: EXIT.damageFound,
  VB_VMA_BAD_DEVICE_POINTER: EXIT.damageFound,
  VB_VMA_EXTENT_MAGIC: EXIT.damageFound,
  VB_VMA_EXTENT_MD5: EXIT.damageFound,
  VB_VMA_EXTENT_UUID: EXIT.damageFound,
  VB_VMA_BLOCK_COUNT: EXIT.damageFound,
  VB_VMA_TRUNCATED_EXTENT: EXIT.damageFound,
  VB_VMA_TRAILING_DATA: EXIT.damageFound,
  VB_VMA_DUPLICATE_CLUSTER: EXIT.damageFound,
  VB_VMA_MISSING_CLUSTER: EXIT.damageFound,
  VB_VMA_CLUSTER_RANGE: EXIT.damageFound,
  VB_VMA_BLOCK_RANGE: EXIT.damageFound,
  VB_VMA_UNKNOWN_DEVICE: EXIT.damageFound,
  VB_VMA_VMSTATE_ORDER: EXIT.damageFound,
  VB_VMA_UNSAFE_NAME: EXIT.damageFound,
  VB_VMA_DUPLICATE_NAME: EXIT.damageFound,
  VB_VMA_COMPRESSION: EXIT.damageFound,
  VB_VMA_DIGEST: EXIT.damageFound,
  VB_INTERNAL: EXIT.defect,
};

const EXIT_BY_SIGNAL: Readonly<Record<StopSignal, number>> = {
  SIGHUP: EXIT.hungUp,
  SIGINT: EXIT.interrupted,
  SIGTERM: EXIT.terminated,
};

/** The exit code of an error code. */
export const exitCodeOf = (code: string): number =>
  Object.hasOwn(EXIT_BY_CODE, code) ? (EXIT_BY_CODE[code] ?? EXIT.failed) : EXIT.failed;

/** The exit code of a signal, as shells count: 128 and its number. */
export const exitCodeOfSignal = (signal: StopSignal): number => EXIT_BY_SIGNAL[signal];

/**
 * The exit code of several pieces of work that were done one by one: `partial` where some failed, the failures' own
 * code where all failed alike.
 */
export function exitCodeOfAll(codes: readonly number[]): number {
  const first = codes[0] ?? EXIT.done;
  if (codes.every((code) => code === first)) return first;
  return codes.includes(EXIT.done) ? EXIT.partial : EXIT.failed;
}
