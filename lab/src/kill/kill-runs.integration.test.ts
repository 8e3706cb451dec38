import assert from 'node:assert/strict';
import { killRuns } from './kill-runs.js';

describe('backups killed with SIGKILL at random moments', () => {
  it('are healed by the next run, and lose nothing', async function () {
    this.timeout(180_000);
    const seed = Date.now() % 1_000_000;
    try {
      const report = await killRuns({ runs: 8, seed });
      assert.ok(report.killed > 0, 'no run was killed');
    } catch (cause) {
      throw new Error(`with seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  });
});
