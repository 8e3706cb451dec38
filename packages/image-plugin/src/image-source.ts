import type { BlockReader, OpenDiskOptions } from '@vbackup/core';
import type { SeenBitmap } from './dirty-bitmap.js';

/** A disk that is held open for a snapshot. */
export interface ImageSource extends AsyncDisposable {
  /** Bytes. */
  readonly size: number;
  /** The dirty bitmap that was asked for; null where none was, or it is of no use. */
  readonly bitmap: SeenBitmap | null;
  open(options: OpenDiskOptions): Promise<BlockReader>;
}
