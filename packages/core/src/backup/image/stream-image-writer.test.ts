import assert from 'node:assert/strict';
import { mkdtemp, readdir, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sharedWorkers } from '../workers/worker-pool.js';
import { StreamImageWriter } from './stream-image-writer.js';

describe('StreamImageWriter', () => {
  const lease = sharedWorkers.lease();
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-stream-image-'));
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await lease[Symbol.asyncDispose]();
  });

  it('leaves no file open, and none behind, where there is no room for its first bytes', async () => {
    const [path, indexPath] = [join(folder, 'stream'), join(folder, 'index')];
    await symlink('/dev/full', `${path}.partial`);
    const stream = {
      virtualSize: 65_536,
      diskName: 'disk',
      diskFormat: 'raw',
      checkpointName: 'virtnbdbackup.0',
      parentCheckpoint: '',
      incremental: false,
      compressed: false as const,
      date: new Date(0),
    };
    const shape = {
      path,
      indexPath,
      stream,
      compression: 'none',
      algorithm: 'sha256',
      workers: sharedWorkers,
    } as const;
    await assert.rejects(StreamImageWriter.open({ ...shape, onFinished: () => assert.fail() }), {
      code: 'VB_NO_SPACE',
    });
    assert.deepEqual(await readdir(folder), []);
    assert.deepEqual(
      (await openFiles()).filter((name) => name.startsWith(folder)),
      [],
    );
  });
});

async function openFiles(): Promise<readonly string[]> {
  const numbers = await readdir('/proc/self/fd');
  return Promise.all(numbers.map((number) => readlink(join('/proc/self/fd', number)).catch(() => '')));
}
