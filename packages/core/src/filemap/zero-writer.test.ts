import assert from 'node:assert/strict';
import { type FileHandle, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Extent } from '../extent/index.js';
import { mountFileSystem, skipEverywhere } from '../testing/index.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { SystemCallError } from './system-call-error.js';
import { ZeroWriter } from './zero-writer.js';

const MiB = 1024 * 1024;
const { EINVAL, EIO, EOPNOTSUPP, EREMOTEIO } = { EREMOTEIO: 121, ...constants.errno };

describe('ZeroWriter', () => {
  let folder: string;
  let path: string;
  let file: FileHandle;
  let libc: Libc;

  beforeEach(async function () {
    const loaded = await loadLibc();
    if (loaded === null) return skipEverywhere(this, 'koffi has no binary for this machine');
    libc = loaded;
    folder = await mkdtemp(join(tmpdir(), 'vbackup-zero-'));
    path = join(folder, 'file');
    await writeFile(path, Buffer.alloc(3 * MiB, 'old'));
    file = await open(path, 'r+');
  });
  afterEach(async () => {
    await file.close();
    await rm(folder, { recursive: true });
  });

  /** A libc that refuses some calls, and tells which were made. */
  const refusing = (refusals: Partial<Record<'punch' | 'zero-keep-size' | 'device', number>>) => {
    const calls: string[] = [];
    const answer = (call: 'punch' | 'zero-keep-size' | 'device'): Promise<void> => {
      calls.push(call);
      const errno = refusals[call];
      return errno === undefined ? Promise.resolve() : Promise.reject(new SystemCallError(call, errno));
    };
    const fake: Pick<Libc, 'fallocate' | 'zeroDevice'> = {
      fallocate: (_file, mode) => answer(mode === 'punch' ? 'punch' : 'zero-keep-size'),
      zeroDevice: () => answer('device'),
    };
    return { calls, libc: fake };
  };
  const assertZero = async ({ offset, length }: Extent): Promise<void> => {
    const expected = Buffer.alloc(3 * MiB, 'old').fill(0, offset, offset + length);
    assert.ok((await readFile(path)).equals(expected));
  };
  const range = { offset: 1000, length: 2 * MiB + 5 };

  it('frees the blocks, keeps them, or writes them', async () => {
    const writer = new ZeroWriter({ file, isBlockDevice: false, libc });
    for (const [way, atMost] of [
      ['write', 3 * MiB],
      ['zero', 3 * MiB],
      ['punch', MiB + 8192],
    ] as const) {
      await writeFile(path, Buffer.alloc(3 * MiB, 'old'));
      await writer[way](range);
      await assertZero(range);
      const taken = (await stat(path)).blocks * 512;
      assert.ok(taken <= atMost && (way === 'punch' || taken === 3 * MiB), `${way}: ${taken}`);
    }
  });

  it('goes from punching to a range of zeros, to the device’s own way, to writing; and asks nobody twice', async () => {
    const refusals = { punch: EOPNOTSUPP, 'zero-keep-size': EINVAL, device: EREMOTEIO };
    const { calls, libc } = refusing(refusals);
    const writer = new ZeroWriter({ file, isBlockDevice: true, libc });
    await writer.punch(range);
    assert.deepEqual(calls, ['punch', 'zero-keep-size', 'device']);
    await writer.zero({ offset: 0, length: MiB });
    assert.equal(calls.length, 3);
    await assertZero({ offset: 0, length: range.offset + range.length });
  });

  it('asks a file for nothing that only devices know', async () => {
    const { calls, libc } = refusing({ punch: EOPNOTSUPP, 'zero-keep-size': EOPNOTSUPP });
    await new ZeroWriter({ file, isBlockDevice: false, libc }).punch(range);
    assert.deepEqual(calls, ['punch', 'zero-keep-size']);
    await assertZero(range);
  });

  it('asks a device for whole pages, and writes the edges', async () => {
    const { calls, libc } = refusing({});
    const writer = new ZeroWriter({ file, isBlockDevice: true, libc });
    await writer.punch({ offset: 4095, length: 4098 });
    assert.deepEqual(calls, ['punch']);
    const expected = Buffer.alloc(3 * MiB, 'old');
    expected[4095] = 0;
    expected[8192] = 0;
    assert.ok((await readFile(path)).equals(expected), 'the fake punches nothing');
    await writer.punch({ offset: 1, length: 4096 });
    assert.equal(calls.length, 1, 'no whole page');
  });

  it('hides no other error', async () => {
    const { libc } = refusing({ punch: EIO });
    await assert.rejects(new ZeroWriter({ file, isBlockDevice: false, libc }).punch(range), { code: 'EIO' });
  });

  it('writes where there is no C library, and hears an abort', async () => {
    const writer = new ZeroWriter({ file, isBlockDevice: false, libc: null });
    await writer.punch(range);
    await assertZero(range);
    const signal = AbortSignal.abort(new Error('enough'));
    for (const way of ['punch', 'zero', 'write'] as const)
      await assert.rejects(writer[way](range, { signal }), /enough/);
  });

  it('finds another way on tmpfs, which has no ranges of zeros', async function () {
    using mounted = mountFileSystem(this, 'tmpfs');
    const name = join(mounted.path, 'file');
    await writeFile(name, Buffer.alloc(MiB, 'old'));
    await using file = await open(name, 'r+');
    await new ZeroWriter({ file, isBlockDevice: false, libc }).zero({ offset: 0, length: MiB });
    assert.ok((await readFile(name)).equals(Buffer.alloc(MiB)));
  });
});
