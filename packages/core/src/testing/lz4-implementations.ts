import type { Lz4Blocks } from '../sparse-stream/lz4-block.js';
import { NapiLz4 } from '../sparse-stream/lz4-napi-block.js';
import { systemLz4 } from '../sparse-stream/lz4-system.js';
import { type Skippable, skipEverywhere } from './tools.js';

/** Both that do LZ4 blocks here, for tests that must hold with each: a name, and what to call first in the test. */
export const LZ4_IMPLEMENTATIONS: readonly (readonly [string, (test: Skippable) => Lz4Blocks])[] = [
  ['liblz4', systemLz4OrSkip],
  ['lz4-napi', () => new NapiLz4()],
];

/** Skips a test, loudly, where the system has no LZ4 that can be used; under `CI=true` that is a failure. */
function systemLz4OrSkip(test: Skippable): Lz4Blocks {
  const blocks = systemLz4();
  if (blocks !== null) return blocks;
  const reason = 'liblz4.so.1 of 1.9.2 or later is not installed';
  if (process.env['CI'] === 'true') throw new Error(reason);
  return skipEverywhere(test, reason);
}
