import type { Lz4Blocks } from './lz4-block.js';
import { NapiLz4 } from './lz4-napi-block.js';
import { systemLz4 } from './lz4-system.js';

let chosen: Lz4Blocks | undefined;

/** What compresses and decodes on this machine: the system's library, else lz4-napi. Loaded with the first call, per thread. */
export function lz4Blocks(): Lz4Blocks {
  chosen ??= systemLz4() ?? new NapiLz4();
  return chosen;
}
