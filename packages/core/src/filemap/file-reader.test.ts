import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AllocationExtent } from '../extent/index.js';
import { libcWith } from '../testing/libc-with.js';
import { openFileReader } from './file-reader.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';

const KiB = 1024;
const SIZE = 1024 * KiB + 77;

describe('openFileReader', () => {
  let folder = '';
  let path = '';
  const data = randomBytes(64 * KiB);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-reader-'));
    path = join(folder, 'disk.raw');
    await using file = await open(path, 'w');
    await file.truncate(SIZE);
    await file.write(data, 0, data.length, 512 * KiB);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('reads any range, to the last byte', async () => {
    await symlink('disk.raw', join(folder, 'link'));
    await using reader = await openFileReader(join(folder, 'link'));
    assert.equal(reader.size, SIZE);
    const bytes = Buffer.alloc(SIZE, 1);
    await reader.read(0, bytes);
    assert.ok(bytes.subarray(512 * KiB, 576 * KiB).equals(data));
    assert.ok(bytes.subarray(576 * KiB).equals(Buffer.alloc(SIZE - 576 * KiB)));
    const some = Buffer.alloc(3);
    await reader.read(512 * KiB + 1, some);
    assert.ok(some.equals(data.subarray(1, 4)));
  });

  it('says which parts hold data, clipped to the range', async () => {
    await using reader = await openFileReader(path);
    const range = { offset: 100, length: SIZE - 200 };
    const told: AllocationExtent[] = [];
    for await (const extent of reader.allocation?.(range) ?? []) told.push(extent);
    assert.equal(told[0]?.offset, 100);
    assert.equal(
      told.reduce((sum, { length }) => sum + length, 0),
      range.length,
    );
    const whole = told.find(({ kind, offset, length }) => kind === 'data' && offset <= 512 * KiB && length >= 64 * KiB);
    assert.ok(whole);
  });

  it('reads the file that it mapped, if another takes the name while it is opened', async () => {
    const other = join(folder, 'other');
    await writeFile(other, data);
    const libc = await loadLibc();
    assert.ok(libc !== null);
    const blockSize: Libc['blockSize'] = (file) => {
      if (existsSync(other)) renameSync(other, path);
      return libc.blockSize(file);
    };
    await using reader = await openFileReader(path, { libc: libcWith(libc, { blockSize }) });
    assert.ok((await readFile(path)).equals(data), 'the other has the name');
    const bytes = Buffer.alloc(SIZE, 1);
    await reader.read(0, bytes);
    assert.ok(bytes.subarray(512 * KiB, 576 * KiB).equals(data));
  });

  it('refuses what lies beyond the end', async () => {
    await using reader = await openFileReader(path);
    await assert.rejects(reader.read(SIZE - 1, Buffer.alloc(2)), { code: 'VB_INVALID_ARGUMENT' });
    await assert.rejects(reader.read(-1, Buffer.alloc(2)), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('notices a file that was cut while it is read', async () => {
    await using reader = await openFileReader(path);
    await truncate(path, 1000);
    const bytes = Buffer.alloc(2000);
    await assert.rejects(reader.read(0, bytes), { code: 'VB_FILE_CHANGED', message: /ended at byte 1000/ });
  });

  it('stops when it is told to', async () => {
    await using reader = await openFileReader(path);
    await assert.rejects(reader.read(0, Buffer.alloc(10), { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  it('refuses a folder, and says what is not there', async () => {
    await mkdir(join(folder, 'folder'));
    await assert.rejects(openFileReader(join(folder, 'folder')), { code: 'VB_FILE_TYPE' });
    await assert.rejects(openFileReader(join(folder, 'missing')), { code: 'VB_IO' });
    await writeFile(join(folder, 'empty'), '');
    await using empty = await openFileReader(join(folder, 'empty'));
    assert.equal(empty.size, 0);
  });
});
