import { fileURLToPath } from 'node:url';
import type { Contest } from './contest.js';
import { timeProgram, vbackup } from './program.js';
import type { Suite } from './suite.js';

const PLAN = fileURLToPath(new URL('./plan-extents.js', import.meta.url));
const MiB = 1024 * 1024;
/** What is done is not counted in bytes. */
const NO_BYTES = Number.NaN;

/** What costs time and memory before the first byte is read. */
export class StartSuite implements Suite {
  static make(): Promise<StartSuite> {
    return Promise.resolve(new StartSuite());
  }

  *contests(): Generator<Contest> {
    const node = { name: 'node, an empty script', run: () => timeProgram([process.execPath, '-e', '0']) };
    yield {
      name: 'vbackup --version',
      bytes: NO_BYTES,
      target: { time: 1.2 },
      peer: node,
      ours: [{ name: 'vbackup --version', run: () => timeProgram(vbackup('--version')) }],
    };
    yield {
      name: 'plan of 1,000,000 extents',
      bytes: NO_BYTES,
      target: { seconds: 1, peakBytes: 100 * MiB },
      peer: node,
      ours: [{ name: 'planCopy', run: () => timeProgram([process.execPath, PLAN]) }],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
