import type { Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { CopySource } from './copy-source.js';
import type { CopyTarget } from './copy-target.js';
import type { Libc } from './libc.js';
import type { HoleMode } from './sparse-copy-job.js';

/** What a copy works on: all is open, checked, and closed by whoever opened it. */
export interface CopyParts extends WithSignal {
  readonly source: CopySource;
  readonly target: CopyTarget;
  readonly libc: Libc | null;
  /** Of the source; it lies within it. */
  readonly range: Extent;
  /** What is added to an offset of the source to get the target's. */
  readonly shift: number;
  readonly holes: HoleMode;
  readonly detectZeroes: boolean;
  /** Whether the kernel may share blocks in place of copying them. */
  readonly mayShare: boolean;
  /** Called with the bytes of the range that are done, holes included. */
  readonly onDone: (done: number) => void;
}
