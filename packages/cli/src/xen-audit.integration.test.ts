import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { parseJsonLines } from './testing/json-promise.js';
import { MIB, XenFixture } from './testing/xen-fixture.js';

describe('vbackup --audit against a XenAPI host', function () {
  this.timeout(120_000);
  let xen: XenFixture;
  beforeEach(async () => {
    xen = await XenFixture.start();
    await xen.backUp();
  });
  afterEach(() => xen[Symbol.asyncDispose]());

  it('accuses no host whose bitmaps are right, whatever the guest does', async () => {
    for (let round = 0; round < 3; round += 1) {
      xen.host.guestWrite(xen.disk, (10 + round) * MIB + 70_000, randomBytes(MIB));
      xen.host.guestZero(xen.disk, round * MIB, MIB / 2);
      const out = await xen.done(`--hypervisor xen ${xen.disk} --audit 1/1 --level inc`);
      assert.match(out, / inc of root of web01: /);
      xen.assertClean(1);
    }
    assert.match(await xen.done(`info ${xen.disk}@latest`), /^ {2}audit +6\d\.\d MiB of .* compared, share 1 of 1$/m);
    await xen.assertRestores();
  });

  it('finds a write that the bitmap missed in as many runs as there are shares, and makes a full', async () => {
    xen.host.untrackedWrite(xen.disk, 41 * MIB + 100, Buffer.from('past the tracking'));
    await xen.refused(`--hypervisor xen ${xen.disk} --audit 1/1 --level inc`, 13, 'VB_CHAIN_BROKEN');
    xen.assertClean(1);
    // Blocks of 1 MiB: number 41 is in the second of two shares.
    assert.match(await xen.done(`--hypervisor xen ${xen.disk} --audit 1/2`), / inc of /);
    const lines = parseJsonLines(
      (await xen.done(`--hypervisor xen ${xen.disk} --audit 1/2 --json`)).trimEnd().split('\n'),
    );
    const told = lines.flatMap((line) => (line.type === 'start' || line.type === 'warning' ? [line] : []));
    assert.deepEqual(
      told.map((line) => (line.type === 'start' ? line.scope : line.code)),
      ['run', 'item', 'audit', 'VB_TRACKING_MISSED_CHANGES', 'disk'],
    );
    assert.match(
      await xen.done(`info ${xen.disk}@latest`),
      /^ {2}level +full because tracking-missed-changes: bytes 42991616 to 43057151 are unchanged to cbt, but differ from/m,
    );
    xen.assertClean(1);
    await xen.assertRestores();
    assert.match(await xen.done(`--hypervisor xen ${xen.disk} --audit 1/1`), / inc of /);
  });
});
