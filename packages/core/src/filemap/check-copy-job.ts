import { VBackupError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { SparseCopyJob } from './sparse-copy-job.js';

/** @throws VBackupError VB_INVALID_ARGUMENT for numbers that are none, and wishes that exclude each other */
export function checkCopyJob({ skip = 0, seek = 0, length, existing, reflink, holes }: SparseCopyJob): void {
  for (const [name, value] of Object.entries({ skip, seek, length: length ?? 0 })) {
    if (!Number.isSafeInteger(value) || value < 0) throw invalid(`${name} cannot be ${value}`);
  }
  if (existing === 'replace' && seek > 0)
    throw invalid('a file that is replaced begins at byte 0: seek is not possible');
  if (reflink !== 'always') return;
  if (skip > 0 || seek > 0 || length !== undefined)
    throw invalid('a reflink is of the whole file: no skip, seek, length');
  if (holes === 'zero' || holes === 'write') throw invalid(`a reflink has the source's holes: they cannot be ${holes}`);
}

const invalid = (message: string): VBackupError => new VBackupError('VB_INVALID_ARGUMENT', message);

/**
 * What is copied of a source of `size` bytes.
 * @throws VBackupError VB_FILE_SHORT where the source has not all of it; VB_INVALID_ARGUMENT where the target would have
 * offsets that are no safe integers
 */
export function copiedRange({ source, skip = 0, seek = 0, length }: SparseCopyJob, size: number): Extent {
  const range = { offset: skip, length: length ?? size - skip };
  if (!Number.isSafeInteger(seek + range.length))
    throw invalid(`a copy from byte ${seek} on ends beyond byte 2^53 - 1`);
  if (range.length >= 0 && endOf(range) <= size) return range;
  const wanted = length === undefined ? `from byte ${skip} on` : `${length} bytes from byte ${skip} on`;
  const cure = 'copy a range that the source has';
  throw new VBackupError('VB_FILE_SHORT', `${source} has ${size} bytes: it cannot be copied ${wanted}`, { cure });
}
