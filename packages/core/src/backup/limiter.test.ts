import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { RateLimiter } from '../pace/index.js';
import { FakeClock, FakeDisk, FakeHypervisor, RepositoryFixture } from '../testing/index.js';

const MiB = 1024 * 1024;

describe('a backup that is held to a rate', () => {
  it('reads no faster from all disks together, counts only what it reads, and stores the same', async () => {
    await using fixture = await RepositoryFixture.create();
    const disks = ['xvda', 'xvdb'].map((name) => new FakeDisk({ id: name, name, size: 2 * MiB }));
    for (const disk of disks) disk.guestWrite(0, randomBytes(MiB));
    const hypervisor = new FakeHypervisor(disks);
    hypervisor.allocation = ({ offset, length }) =>
      [
        { offset, length: Math.max(0, Math.min(length, MiB - offset)), kind: 'data' as const },
        {
          offset: Math.max(offset, MiB),
          length: length - Math.max(0, Math.min(length, MiB - offset)),
          kind: 'zero' as const,
        },
      ].filter((extent) => extent.length > 0);
    const clock = new FakeClock();
    let done = false;
    const backup = fixture
      .backUp(hypervisor, 'full', { limiter: new RateLimiter(MiB, clock) })
      .finally(() => (done = true));
    while (!done) await clock.advance();
    const { manifest } = await backup;
    // 2 MiB at 1 MiB/s; the last request of 256 KiB begins that much before, and a tenth of a second is given.
    assert.ok(clock.now() >= 1600 && clock.now() <= 2000, `${clock.now()} ms`);
    for (const disk of disks) assert.ok((await fixture.imageOf(manifest, disk.name)).equals(disk.content()));
  });
});
