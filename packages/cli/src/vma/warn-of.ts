import type { VmaWarning } from '@vbackup/core';
import type { Output } from '../output/output.js';

/** Tells what is odd in an archive and does not stop its reading. */
export function warnOf(output: Output, warnings: readonly VmaWarning[]): void {
  for (const { code, message } of warnings) output.warning(`VB_VMA_${code}`, message);
}
