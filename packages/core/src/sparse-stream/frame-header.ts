import { ProtocolError } from '../errors/index.js';

/** Every frame begins with these many bytes, its own line end included. */
export const FRAME_HEADER_LENGTH = 40;

/** Behind META's JSON, a DATA payload and the trailer's JSON. */
export const TERMINATOR = Buffer.from('\r\n');

/** The five kinds, as they stand in the first four bytes. */
export type FrameKind = 'meta' | 'data' | 'zero' | 'stop' | 'comp';

/** One frame header: for `data` and `zero` a range of the disk, else `start` is 0 and `length` counts JSON bytes. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly start: number;
  readonly length: number;
}

const PATTERN = /^(meta|data|zero|stop|comp) ([0-9a-f]{16}) ([0-9a-f]{16})\r\n$/;

const hex = (value: number): string => value.toString(16).padStart(16, '0');

/**
 * The 40 bytes of a frame header.
 *
 *     0 kind · 4 space · 5 start, 16 hex digits · 21 space · 22 length, 16 hex digits · 38 CR LF
 */
export function encodeFrameHeader(header: FrameHeader): Buffer {
  return Buffer.from(`${header.kind} ${hex(header.start)} ${hex(header.length)}\r\n`, 'latin1');
}

/**
 * Reads the 40 bytes of a frame header.
 * @param at - where they lie in the file, for the error
 * @throws ProtocolError VB_SPARSE_HEADER for anything else than what {@link encodeFrameHeader} writes, and for numbers
 * beyond 2^53 - 1
 */
export function decodeFrameHeader(bytes: Buffer, at: number): FrameHeader {
  const [, kind, start, length] = PATTERN.exec(bytes.toString('latin1')) ?? [];
  if (!isFrameKind(kind)) {
    throw new ProtocolError('VB_SPARSE_HEADER', `no frame header: ${JSON.stringify(bytes.toString('latin1'))}`, at);
  }
  return { kind, start: exact(start, at + 5), length: exact(length, at + 22) };
}

/** Whether a file begins as a stream does: with the header of META. Needs {@link FRAME_HEADER_LENGTH} bytes of it. */
export const beginsStream = (bytes: Buffer): boolean =>
  PATTERN.exec(bytes.toString('latin1', 0, FRAME_HEADER_LENGTH))?.[1] === 'meta';

const isFrameKind = (word: string | undefined): word is FrameKind => word !== undefined;

function exact(digits: string | undefined, at: number): number {
  const value = Number.parseInt(digits ?? '', 16);
  if (!Number.isSafeInteger(value)) {
    throw new ProtocolError('VB_SPARSE_HEADER', `number of a frame header is beyond 2^53 - 1: ${digits}`, at);
  }
  return value;
}

/**
 * Checks the line end behind a payload.
 * @param at - where it lies in the file
 * @throws ProtocolError VB_SPARSE_FRAME
 */
export function requireTerminator(bytes: Buffer, at: number): void {
  if (!bytes.equals(TERMINATOR)) {
    throw new ProtocolError('VB_SPARSE_FRAME', `line end expected, found ${bytes.toString('hex')}`, at);
  }
}
