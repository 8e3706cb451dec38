import assert from 'node:assert/strict';
import { requireTools } from '@vbackup/core/testing';
import { LIBVIRT_LAB_TOOLS } from '../libvirt/index.js';
import { killLibvirtRuns } from './kill-libvirt-runs.js';

describe('backups of a guest that writes, in which vbackup, libvirtd or QEMU is killed', () => {
  it('are healed by the next run, hold one instant each, and leave nothing', async function () {
    this.timeout(600_000);
    requireTools(this, LIBVIRT_LAB_TOOLS);
    const seed = Date.now() % 1_000_000;
    try {
      const { killed, compared } = await killLibvirtRuns({ runs: 10, seed });
      assert.ok(killed > 0, 'nothing was killed');
      assert.ok(compared >= 10);
    } catch (cause) {
      throw new Error(`with seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  });
});
