import type { ErrorCode } from './codes.js';

export interface VBackupErrorOptions {
  readonly cause?: unknown;
  /** What the user can do about it, one sentence without a full stop. */
  readonly cure?: string;
}

/** The root of every error that vbackup throws on purpose. The message says what could not be done, with the value. */
export class VBackupError extends Error {
  readonly code: ErrorCode;
  readonly cure: string | undefined;

  constructor(code: ErrorCode, message: string, options: VBackupErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.cure = options.cure;
  }
}

/** A peer or a file broke its format: drop the connection, never retry on it. */
export class ProtocolError extends VBackupError {
  /** Byte offset of the fault in the stream or file. */
  readonly offset: number;

  constructor(code: ErrorCode, message: string, offset: number, options: VBackupErrorOptions = {}) {
    super(code, `${message} (at byte ${offset})`, options);
    this.offset = offset;
  }
}

/** One request failed; the connection lives, and a retry may help. */
export class RequestError extends VBackupError {}

/** The peer cannot do this: fall back, never ask again. */
export class UnsupportedError extends VBackupError {}

/** The reason of an aborted signal as an error that is safe to throw. */
export function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new VBackupError('VB_ABORTED', 'aborted');
}
