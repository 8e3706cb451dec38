import type { FileHandle } from 'node:fs/promises';
import type { Extent } from '../../extent/index.js';
import { loadLibc } from '../../filemap/load-libc.js';
import { ZeroWriter } from '../../filemap/zero-writer.js';
import { readFully, writeFully } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import { damaged } from './overlay-format.js';

/** The file of an overlay, by positions. What `sync` has not seen may be lost, in any order and in part. */
export interface OverlayStore extends AsyncDisposable {
  /** Fills the whole of `target`. */
  read(target: Buffer, position: number): Promise<void>;
  write(bytes: Buffer, position: number): Promise<void>;
  /** The range reads as zeros, and has its space. */
  zero(range: Extent): Promise<void>;
  /** The content of the range is not needed, and may be anything it was or zeros. Never fails for want of space. */
  discard(range: Extent): Promise<void>;
  /** What was written before is durable. */
  sync(): Promise<void>;
}

/** An {@link OverlayStore} over an open file, which it closes. */
export async function fileStore(file: FileHandle, path: string): Promise<OverlayStore> {
  const libc = await loadLibc();
  const zeros = new ZeroWriter({ file, isBlockDevice: false, libc });
  const writing = `cannot write ${path}`;
  return {
    read: (target, position) =>
      withIo(`cannot read ${path}`, async () => {
        if ((await readFully(file, target, position)) < target.length) throw damaged(`${path} is too short`);
      }),
    write: (bytes, position) => withIo(writing, () => writeFully(file, bytes, position)),
    zero: (range) => withIo(writing, () => zeros.zero(range)),
    // Where the file system cannot give space back, the space stays: nobody reads what lies there.
    discard: async (range) => libc?.fallocate(file, 'punch', range).catch(() => undefined),
    sync: () => withIo(`cannot sync ${path}`, () => file.datasync()),
    [Symbol.asyncDispose]: () => file.close(),
  };
}
