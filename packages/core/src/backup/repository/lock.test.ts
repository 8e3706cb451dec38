import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { acquireLock } from './lock.js';
import { ownIdentity } from './process-identity.js';

describe('acquireLock', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-lock-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const write = (change: object): Promise<void> => {
    const lock = { ...ownIdentity(), token: '0123456789abcdef', since: '2026-11-20T12:00:00.000Z', ...change };
    return writeFile(join(folder, 'lock'), JSON.stringify(lock));
  };

  it('holds until it is disposed, and leaves nothing', async () => {
    const held = await acquireLock(folder);
    await assert.rejects(acquireLock(folder), {
      code: 'VB_REPOSITORY_LOCKED',
      message: new RegExp(`process ${process.pid} on `),
    });
    await held[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(folder), []);
    await using again = await acquireLock(folder);
    assert.equal(again.takenOver, false);
  });

  it('removes what processes left that died before they had it, also where nobody has it', async () => {
    const candidate = { ...ownIdentity(), token: 'f'.repeat(16), since: '2026-11-20T12:00:00.000Z' };
    const left = { '1': '', '2': '{"pid":', '3': JSON.stringify({ ...candidate, bootId: 'another boot' }) };
    for (const [digit, text] of Object.entries(left)) {
      await writeFile(join(folder, `lock.${digit.repeat(16)}.new`), text);
    }
    await writeFile(join(folder, `lock.${'f'.repeat(16)}.new`), JSON.stringify(candidate));
    const held = await acquireLock(folder);
    await held[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(folder), [`lock.${'f'.repeat(16)}.new`], 'of a process that lives');
  });

  it('is had by one at a time, though each sweeps what the others have not written yet', async () => {
    let holders = 0;
    let had = 0;
    const compete = async (): Promise<void> => {
      for (let round = 0; round < 25; round += 1) {
        const held = await acquireLock(folder).catch((error: unknown) => {
          assert.ok(error instanceof VBackupError && error.code === 'VB_REPOSITORY_LOCKED', String(error));
        });
        if (held === undefined) continue;
        holders += 1;
        had += 1;
        assert.equal(holders, 1);
        await new Promise(setImmediate);
        holders -= 1;
        await held[Symbol.asyncDispose]();
      }
    };
    await Promise.all(Array.from({ length: 6 }, compete));
    assert.ok(had > 0);
    assert.deepEqual(await readdir(folder), []);
  });

  it('takes over from a process that is gone, also when its number was given to another', async () => {
    const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
    await once(child, 'exit');
    for (const dead of [{ pid: child.pid }, { startTime: '1' }, { bootId: 'another boot' }]) {
      await write(dead);
      await using held = await acquireLock(folder);
      assert.ok(held.takenOver);
      assert.deepEqual(await readdir(folder), ['lock']);
    }
  });

  it('never takes over from another host or container, nor what it cannot read', async () => {
    for (const foreign of [
      { host: 'elsewhere' },
      { machineId: 'its twin', bootId: 'another boot' },
      { pidNamespace: 'pid:[1]' },
      { token: 'unknown' },
    ]) {
      await write({ ...foreign, pid: 999_999_999 });
      const before = await readFile(join(folder, 'lock'));
      await assert.rejects(acquireLock(folder), { code: 'VB_REPOSITORY_LOCKED' });
      assert.deepEqual(await readFile(join(folder, 'lock')), before);
      assert.deepEqual(await readdir(folder), ['lock']);
    }
  });

  it('is given to exactly one of many that find a dead holder', async () => {
    for (let round = 0; round < 20; round += 1) {
      await write({ startTime: '1' });
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(folder)));
      const held = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      assert.equal(held.length, 1);
      for (const lock of held) await lock[Symbol.asyncDispose]();
      assert.deepEqual(await readdir(folder), []);
    }
  });

  it('goes on where a process died in the middle of taking over', async () => {
    await write({ startTime: '1' });
    const half = { ...ownIdentity(), startTime: '2', token: 'fedcba9876543210', since: '2026-11-20T12:01:00.000Z' };
    await writeFile(join(folder, 'lock.0123456789abcdef'), JSON.stringify(half));
    await using held = await acquireLock(folder);
    assert.ok(held.takenOver);
    assert.deepEqual(await readdir(folder), ['lock']);
  });
});
