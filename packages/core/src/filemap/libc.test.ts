import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTools } from '../testing/tools.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('libc', () => {
  let folder: string;
  let libc: Libc;
  let file: FileHandle;

  before(async () => {
    const loaded = await loadLibc();
    assert.ok(loaded !== null, 'koffi has no binary here');
    libc = loaded;
    folder = await mkdtemp(join(tmpdir(), 'vbackup-libc-'));
  });

  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    file = await open(join(folder, 'file'), 'w+');
  });

  afterEach(() => file.close());

  const errno = (code: string) => (error: unknown) =>
    error instanceof Error && 'code' in error && error.code === code && error.message.endsWith(`: ${code}`);

  it('finds data and holes, and says null where there are none', async () => {
    await file.truncate(10 * MiB);
    await file.write(Buffer.alloc(64 * KiB, 1), 0, 64 * KiB, 5 * MiB);
    assert.equal(libc.seekData(file, 0), 5 * MiB);
    assert.equal(libc.seekHole(file, 5 * MiB), 5 * MiB + 64 * KiB);
    assert.equal(libc.seekData(file, 6 * MiB), null);
    assert.equal(libc.seekHole(file, 6 * MiB), 6 * MiB);
    assert.equal(libc.seekHole(file, 10 * MiB), null);
  });

  it('is exact beyond 32 bits', async () => {
    const far = 5 * 1024 ** 4;
    await file.truncate(far + 2 * MiB);
    await file.write(Buffer.alloc(4 * KiB, 1), 0, 4 * KiB, far);
    assert.equal(libc.seekData(file, 0), far);
    assert.equal(libc.seekHole(file, far), far + 4 * KiB);
  });

  it('names the errno of a call that was refused, at once and in a thread', async () => {
    assert.throws(() => libc.deviceSize(file), errno('ENOTTY'));
    await assert.rejects(libc.fiemap(file, Buffer.alloc(32)), errno('EINVAL'));
    await assert.rejects(libc.zeroDevice(file, { offset: 0, length: 512 }), errno('ENOTTY'));
  });

  it('names the errno of each of many calls in threads', async () => {
    const refused = Array.from({ length: 1000 }, (_, index) =>
      index % 2 === 0
        ? assert.rejects(libc.fiemap(file, Buffer.alloc(32)), errno('EINVAL'))
        : assert.rejects(libc.fiemap({ fd: -1 }, Buffer.alloc(32)), errno('EBADF')),
    );
    await Promise.all(refused);
  });

  it('refuses offsets and lengths that are no safe integers, before the kernel sees them', async () => {
    const invalid = { code: 'VB_INVALID_ARGUMENT' };
    for (const offset of [-1, 1.5, Number.NaN, 2 ** 53]) {
      assert.throws(() => libc.seekData(file, offset), invalid);
      await assert.rejects(libc.fallocate(file, 'punch', { offset, length: 1 }), invalid);
    }
    for (const length of [0, -1, 0.5, Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER]) {
      await assert.rejects(libc.fallocate(file, 'punch', { offset: 1, length }), invalid);
      assert.throws(() => libc.lockHeld(file, { offset: 1, length }), invalid);
    }
  });

  it('allocates and punches without changing the length', async () => {
    await libc.fallocate(file, 'allocate', { offset: 0, length: MiB });
    assert.equal((await file.stat()).size, MiB);
    assert.ok((await file.stat()).blocks * 512 >= MiB);
    await libc.fallocate(file, 'punch', { offset: 0, length: 2 * MiB });
    assert.equal((await file.stat()).size, MiB);
    assert.ok((await file.stat()).blocks * 512 < MiB);
  });

  it('copies a range between two places, and says 0 at the end of the source', async () => {
    await file.write(Buffer.from('0123456789'));
    await using target = await open(join(folder, 'target'), 'w+');
    const request = { source: file, target, targetOffset: 100, length: MiB };
    assert.equal(await libc.copyFileRange({ ...request, sourceOffset: 4 }), 6);
    assert.equal(await libc.copyFileRange({ ...request, sourceOffset: 10 }), 0);
    assert.equal((await target.readFile()).subarray(100).toString(), '456789');
  });

  it('says the block of the file system', async () => {
    assert.ok([512, 1024, 2048, 4096, 65536].includes(libc.blockSize(file)));
  });

  it('sees a lock of another process in the range, and none outside it', async function () {
    requireTools(this, ['python3']);
    const script = `import fcntl,sys
f=open(sys.argv[1],'r+')
fcntl.lockf(f,fcntl.LOCK_SH,1,101)
fcntl.lockf(f,fcntl.LOCK_EX,1,201)
print('locked',flush=True)
sys.stdin.read()`;
    const child = spawn('python3', ['-c', script, join(folder, 'file')], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      assert.equal(libc.lockHeld(file, { offset: 101, length: 1 }), 'read');
      assert.equal(libc.lockHeld(file, { offset: 200, length: 10 }), 'write');
      assert.equal(libc.lockHeld(file, { offset: 100, length: 1 }), null);
      assert.equal(libc.lockHeld(file, { offset: 102, length: 99 }), null);
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
    assert.equal(libc.lockHeld(file, { offset: 0, length: MiB }), null);
  });

  it('locks a range for one open file at a time, until that is closed', async () => {
    const range = { offset: 300, length: 1 };
    {
      await using first = await open(join(folder, 'file'), 'r+');
      assert.equal(libc.tryLock(first, range), true);
      assert.equal(libc.tryLock(file, range), false);
      assert.equal(libc.tryLock(file, { offset: 301, length: 1 }), true);
    }
    assert.equal(libc.tryLock(file, range), true);
    await using readOnly = await open(join(folder, 'file'), 'r');
    assert.throws(() => libc.tryLock(readOnly, { offset: 400, length: 1 }), { code: 'EBADF' });
  });

  it('is null where koffi has no binary', async () => {
    assert.equal(await loadLibc(() => Promise.reject(new Error('no binary'))), null);
  });
});
