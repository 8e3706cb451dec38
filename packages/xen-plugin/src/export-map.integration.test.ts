import assert from 'node:assert/strict';
import { fetchBlockMap } from './export-map.js';
import { LabPool } from './testing/lab-pool.js';

const MIB = 1024 * 1024;

describe('fetchBlockMap', () => {
  it('takes the map of a disk of that size, and of no other', async () => {
    await using pool = await LabPool.start();
    const uuid = pool.addDisk(15 * MIB);
    {
      await using session = await pool.login();
      const { allocated } = await fetchBlockMap(session, { uuid, size: 15 * MIB });
      assert.deepEqual(allocated, [
        { offset: 0, length: 2 * MIB },
        { offset: 6 * MIB, length: 2 * MIB },
      ]);
      for (const size of [16 * MIB, 12 * MIB]) {
        await assert.rejects(fetchBlockMap(session, { uuid, size }), {
          code: 'VB_XEN_VHD',
          message: `the VHD export covers ${15 * MIB} bytes of a disk of ${size}`,
        });
      }
    }
    pool.assertClean(0);
  });
});
