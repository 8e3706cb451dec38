import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DirectoryHypervisor, RepositoryFixture } from '../testing/index.js';

const CHILD = fileURLToPath(new URL('../testing/backup-child.js', import.meta.url));
const SIZE = 24 * 1024 * 1024;
const KILLS = 10;

describe('a backup that is killed', function () {
  this.timeout(120_000);
  let fixture: RepositoryFixture;
  let hypervisor: DirectoryHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    hypervisor = await DirectoryHypervisor.create(join(fixture.folder, 'host'), SIZE);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const start = () =>
    spawn(process.execPath, [CHILD, hypervisor.folder, fixture.repository.location], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  /** The moments that matter begin when the child has the lock. */
  const untilLocked = async (): Promise<void> => {
    const place = join(fixture.repository.location, 'fake', 'fake-guest');
    for (let round = 0; round < 2000; round += 1) {
      const names: readonly string[] = await readdir(place).catch(() => []);
      if (names.includes('lock') || names.includes('journal.ndjson')) return;
      await sleep(5);
    }
  };

  it(`at ${KILLS} random moments is healed by the next run, and every restore is right`, async () => {
    const expected = new Map<string, Buffer>();
    for (let round = 0; round < KILLS; round += 1) {
      hypervisor.guestWrite(randomInt(SIZE / 2), randomBytes(randomInt(1, SIZE / 3)));
      hypervisor.guestWrite(randomInt(SIZE / 2), Buffer.alloc(randomInt(1, SIZE / 3)));
      const content = hypervisor.content();
      const child = start();
      const gone = once(child, 'exit');
      await untilLocked();
      await sleep(randomInt(250));
      child.kill('SIGKILL');
      await gone;
      const { backups } = await fixture.repository.catalogue();
      for (const { id } of backups) if (!expected.has(id)) expected.set(id, content);
    }
    const { manifest, warnings } = await fixture.backUp(hypervisor);
    expected.set(manifest.id, hypervisor.content());
    assert.deepEqual(warnings, []);
    assert.deepEqual(await fixture.damage(), []);
    const { backups, damaged } = await fixture.repository.catalogue();
    assert.deepEqual(damaged, []);
    for (const backup of backups) {
      const content = expected.get(backup.id);
      assert.ok(content !== undefined && content.equals(await fixture.imageOf(backup)), backup.id);
    }
    assert.deepEqual(hypervisor.names('snap-'), []);
    assert.equal(hypervisor.names('check-').length, 1);
    assert.deepEqual(await strayFiles(), []);
  });

  /** Files of the repository that no manifest names. */
  const strayFiles = async (): Promise<readonly string[]> => {
    const { backups } = await fixture.repository.catalogue();
    const known = new Set(['vbackup.json']);
    for (const { chain, files, id } of backups) {
      known.add(join(chain, 'fake.cpt')).add(join(chain, '.vbackup', `${id}.json`));
      for (const { path } of files) known.add(join(chain, path));
    }
    return (await fixture.files()).filter((name) => !known.has(name));
  };

  it('and started twice at once: exactly one takes the dead lock over, the other is told who has it', async () => {
    hypervisor.guestWrite(0, randomBytes(SIZE));
    const dead = start();
    const gone = once(dead, 'exit');
    await untilLocked();
    dead.kill('SIGKILL');
    await gone;
    const children = Array.from({ length: 4 }, start);
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    const { backups } = await fixture.repository.catalogue();
    assert.ok(
      codes.every((code) => code === 0 || code === 11),
      String(codes),
    );
    assert.ok(codes.includes(0));
    // Whoever came later ran after the other, and stands on its backup.
    assert.equal(backups.filter(({ level }) => level === 'full').length, 1);
    assert.deepEqual(await fixture.damage(), []);
  });
});
