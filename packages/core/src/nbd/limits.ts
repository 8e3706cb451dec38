import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { BlockLimits } from '../hypervisor/index.js';
import { MAX_REQUESTS_IN_FLIGHT } from './connection.js';
import type { ExportInformation } from './negotiation.js';
import { NBD_DEFAULT_MAXIMUM_REQUEST } from './words.js';

/**
 * The limits of an export: what it announces (doc/proto.md, "Block size constraints"), and what is known besides.
 * @throws VBackupError VB_NBD_BLOCK_SIZE if its size is no multiple of the alignment: the tail could not be read
 */
export function limitsOf(
  information: ExportInformation,
  options: { readonly minimumAlignment?: number | undefined; readonly connections: number },
): BlockLimits {
  const alignment = Math.max(information.blockSizes?.minimum ?? 1, options.minimumAlignment ?? 1);
  if (information.size % alignment !== 0) {
    const message = `the export's size ${information.size} is no multiple of its minimum block size ${alignment}`;
    throw new VBackupError('VB_NBD_BLOCK_SIZE', message);
  }
  const announced = Math.min(information.blockSizes?.maximum ?? Infinity, NBD_DEFAULT_MAXIMUM_REQUEST);
  const maximumRequest = Math.max(alignment, Math.floor(announced / alignment) * alignment);
  return { alignment, maximumRequest, maximumInFlight: MAX_REQUESTS_IN_FLIGHT * options.connections };
}

/** @throws VBackupError VB_INVALID_ARGUMENT unless `range` lies in the disk and on its blocks */
export function checkRange(range: Extent, device: { readonly size: number; readonly limits: BlockLimits }): void {
  const { offset, length } = range;
  const { alignment } = device.limits;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `${length} bytes at ${offset} are no range`);
  }
  if (offset + length > device.size) {
    const message = `${length} bytes at ${offset} reach beyond the export's ${device.size} bytes`;
    throw new VBackupError('VB_INVALID_ARGUMENT', message);
  }
  if (offset % alignment !== 0 || length % alignment !== 0) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `${length} bytes at ${offset} are not aligned to ${alignment}`);
  }
}

/** Cuts `range` into pieces of at most `length` bytes. */
export function* piecesOf(range: Extent, length: number): Generator<Extent> {
  const end = range.offset + range.length;
  for (let offset = range.offset; offset < end; offset += length) {
    yield { offset, length: Math.min(length, end - offset) };
  }
}
