import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FakeDisk, FakeHypervisor, RepositoryFixture, requireTools } from '../testing/index.js';

const run = promisify(execFile);
const MiB = 1024 * 1024;

/** The restore ends a little before its qemu-nbd has closed the image. */
async function convert(image: string, raw: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await run('qemu-img', ['convert', '-O', 'raw', image, raw]);
      return;
    } catch (error) {
      if (tries === 100 || !String(error).includes('"write" lock')) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

describe('virtnbdrestore and the folder of a chain', function () {
  this.timeout(120_000);
  let fixture: RepositoryFixture;

  before(function () {
    requireTools(this, ['virtnbdrestore', 'qemu-nbd', 'qemu-img']);
  });
  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  /** libvirt's test driver is all that the tool needs of libvirt. */
  const restore = async (chain: string, disk: string, until: readonly string[]): Promise<string> => {
    const output = join(fixture.folder, `out-${until[1] ?? 'all'}`);
    const connection = ['-U', 'test:///default', '-f', join(fixture.folder, 'nbd.sock')];
    const quiet = ['--noprogress', '--logfile', join(fixture.folder, 'restore.log')];
    await run('virtnbdrestore', [...connection, ...quiet, '-i', chain, '-o', output, ...until]);
    const raw = join(fixture.folder, 'raw');
    await convert(join(output, `${disk}.qcow2`), raw);
    return createHash('sha256')
      .update(await readFile(raw))
      .digest('hex');
  };

  for (const [compression, tracking] of [
    ['lz4', 'dirty'],
    ['none', 'dirty'],
    ['lz4', 'none'],
  ] as const) {
    const how = tracking === 'none' ? ', without change tracking' : '';
    it(`a full and two increments restore to their bytes, ${compression}${how}`, async () => {
      const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 24 * MiB });
      const hypervisor = new FakeHypervisor([disk], { guest: { name: 'fake' }, tracking });
      disk.guestWrite(MiB, randomBytes(5 * MiB));
      disk.guestWrite(20 * MiB + 4096, randomBytes(MiB));
      const expected: string[] = [];
      let chain = '';
      for (let round = 0; round < 3; round += 1) {
        expected.push(createHash('sha256').update(disk.content()).digest('hex'));
        const { manifest } = await fixture.backUp(hypervisor, 'auto', { compression });
        chain = join(fixture.repository.location, manifest.chain);
        disk.guestWrite(2 * MiB, Buffer.alloc(300_000));
        disk.guestWrite(10 * MiB + round * 70_000, randomBytes(65_000));
      }
      assert.equal(await restore(chain, 'xvda', []), expected[2]);
      for (const round of [0, 1]) {
        assert.equal(await restore(chain, 'xvda', ['--until', `virtnbdbackup.${round}`]), expected[round]);
      }
    });
  }
});
