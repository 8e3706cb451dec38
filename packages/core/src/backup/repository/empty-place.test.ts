import assert from 'node:assert/strict';
import { mkdir, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { Place } from '../repository.js';

const KEY = { hypervisor: 'fake', guestId: 'guest' };

describe('a place in which nothing is left', () => {
  let fixture: RepositoryFixture;
  const folder = (): string => join(fixture.folder, 'repository', 'fake', 'guest');
  const guests = (): Promise<readonly string[]> => readdir(join(fixture.folder, 'repository', 'fake'));
  const open = (): Promise<Place> => fixture.repository.openPlace(KEY);

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  it('is removed when its lock is released', async () => {
    const place = await open();
    assert.deepEqual(await readdir(folder()), ['lock']);
    await place[Symbol.asyncDispose]();
    assert.deepEqual(await guests(), []);
  });

  it('is removed when a backup failed before it began', async () => {
    const disk = new FakeDisk({ id: 'disk', name: 'xvda', size: 65536 });
    const onStep = (step: string): void => {
      if (step === 'snapshot-journal') throw new Error('refused');
    };
    await assert.rejects(fixture.backUp(new FakeHypervisor([disk], { onStep })), /refused/);
    assert.deepEqual(await guests(), []);
  });

  it('stays as long as anything is in it, and as long as another run works there', async () => {
    const place = await open();
    await assert.rejects(open(), { code: 'VB_REPOSITORY_LOCKED' });
    assert.deepEqual(await readdir(folder()), ['lock']);
    await writeFile(join(folder(), 'something'), '');
    await place[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(folder()), ['something']);
  });

  it('is made again where another run removes it while this one opens it', async () => {
    const stop = new AbortController();
    const remover = (async () => {
      while (!stop.signal.aborted) {
        // Often enough to meet it, and now and then as far apart as the sync of a busy disk takes.
        await delay(-Math.log(1 - Math.random()) * 20);
        await rmdir(folder()).catch(() => undefined);
      }
    })();
    try {
      for (let round = 0; round < 25; round += 1) await (await open())[Symbol.asyncDispose]();
    } finally {
      stop.abort();
      await remover;
    }
    assert.deepEqual(await guests(), []);
  });

  it('is an error where something else has its name', async () => {
    await mkdir(join(fixture.folder, 'repository', 'fake'));
    await writeFile(folder(), '');
    await assert.rejects(open(), { code: 'VB_IO' });
    await rm(folder());
  });
});
