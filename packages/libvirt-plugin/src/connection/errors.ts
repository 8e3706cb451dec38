import { VBackupError, type VBackupErrorOptions } from '@vbackup/core/errors';
import { type Meaning, meaningOf } from './meaning.js';

/** An error as libvirt keeps it (`virError`). */
export interface NativeError {
  /** virErrorNumber. */
  readonly code: number;
  /** virErrorDomain: the part of libvirt that it comes from. */
  readonly domain: number;
  readonly message: string;
}

/** What libvirt answered instead of a value. */
export class LibvirtError extends VBackupError {
  /** virErrorNumber. */
  readonly libvirtCode: number;
  /** virErrorDomain. */
  readonly libvirtDomain: number;
  /** In libvirt's words. */
  readonly libvirtMessage: string;

  constructor(native: NativeError, meaning: Meaning, options: VBackupErrorOptions = {}) {
    super(meaning.code, meaning.message, meaning.cure === undefined ? options : { cure: meaning.cure, ...options });
    this.libvirtCode = native.code;
    this.libvirtDomain = native.domain;
    this.libvirtMessage = native.message;
  }
}

/** Makes the error of a call; `method` is a name of LibvirtConnection, or `open`. */
export function libvirtError(method: string, native: NativeError): LibvirtError {
  return new LibvirtError(native, meaningOf(method, native));
}

/** True for an error with one of these codes. */
export function isLibvirtError(error: unknown, ...codes: readonly LibvirtErrorCode[]): error is LibvirtError {
  return error instanceof LibvirtError && codes.some((code) => code === error.code);
}

export type LibvirtErrorCode = Meaning['code'];
