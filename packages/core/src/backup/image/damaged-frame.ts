import { type ErrorCode, VBackupError } from '../../errors/index.js';
import type { Extent } from '../../extent/index.js';

/** A range of a disk that cannot be had from its file: what it is, and where. */
export class DamagedFrameError extends VBackupError {
  readonly file: string;
  /** In the file, in bytes. */
  readonly offset: number;
  /** Of the disk. */
  readonly extent: Extent;
  /** Without the place, which the message names. */
  readonly detail: string;

  constructor(
    code: ErrorCode,
    place: { readonly file: string; readonly offset: number; readonly extent: Extent; readonly what: string },
    detail: string,
    cause?: unknown,
  ) {
    const { offset, length } = place.extent;
    const range = `bytes ${offset} to ${offset + length - 1}`;
    super(code, `${place.what}: ${range} in ${place.file} at byte ${place.offset}: ${detail}`, { cause });
    this.file = place.file;
    this.offset = place.offset;
    this.extent = { offset, length };
    this.detail = detail;
  }
}
