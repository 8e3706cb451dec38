import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RepositoryFixture } from '../../testing/index.js';
import { openRepository } from './open-repository.js';

describe('openRepository', () => {
  it('tells what is not a repository, one of a newer version, and one that may not be made', async () => {
    await using fixture = await RepositoryFixture.create();
    await assert.rejects(openRepository(join(fixture.folder, 'none')), { code: 'VB_REPOSITORY_NOT_FOUND' });
    await assert.rejects(openRepository(fixture.folder, { create: true }), { code: 'VB_REPOSITORY_NOT_FOUND' });
    const again = await openRepository(fixture.repository.location, { create: true });
    assert.equal(again.id, fixture.repository.id);
    const description = { format: 'vbackup-repository', version: 2, id: again.id };
    await writeFile(join(again.location, 'vbackup.json'), JSON.stringify(description));
    await assert.rejects(openRepository(again.location), { code: 'VB_REPOSITORY_VERSION' });
    await writeFile(join(again.location, 'vbackup.json'), '{');
    await assert.rejects(openRepository(again.location), { code: 'VB_REPOSITORY_DAMAGED' });
  });

  it('gives two who make it at once the same repository', async () => {
    await using fixture = await RepositoryFixture.create();
    const location = join(fixture.folder, 'new', 'deep');
    const made = await Promise.all([1, 2, 3].map(() => openRepository(location, { create: true })));
    assert.equal(new Set(made.map(({ id }) => id)).size, 1);
  });

  it('says so when the place may not be written', async () => {
    await using fixture = await RepositoryFixture.create();
    await chmod(fixture.folder, 0o500);
    // Permissions do not stop root; nobody makes folders in /sys.
    const location = process.getuid?.() === 0 ? '/sys/vbackup' : join(fixture.folder, 'no');
    await assert.rejects(openRepository(location, { create: true }), { code: 'VB_ACCESS_DENIED' });
    await chmod(fixture.folder, 0o700);
  });

  it('ends where no folder can be made', async () => {
    await assert.rejects(openRepository('/proc/vbackup/deep', { create: true }), { code: 'VB_IO' });
    const message = '/etc/hostname is not a folder';
    await assert.rejects(openRepository('/etc/hostname', { create: true }), { code: 'VB_IO', message });
  });
});
