import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTools } from '../testing/tools.js';
import { openQcow2Target } from './qcow2-target.js';
import { imageInfo } from './query-image.js';

const MiB = 1024 * 1024;
const CONTENT = Buffer.alloc(MiB, 'vbackup ');

describe('openQcow2Target', () => {
  let folder: string;
  let path: string;

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'qemu-io']);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-qcow2-'));
    path = join(folder, 'disk.qcow2');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const qemuImg = (...args: readonly string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' });
  /** Data behind and before other data, in an order that no file has. */
  const write = async (options: Parameters<typeof openQcow2Target>[1], size: number, finish = true): Promise<void> => {
    await using target = await openQcow2Target(path, options)({ size, data: [], label: 'disk' });
    await target.write(5 * MiB, CONTENT);
    await target.write(MiB, CONTENT);
    if (!target.zeroed) await target.zero(2 * MiB, 3 * MiB);
    if (finish) await target.finish();
  };
  const compare = async (size: number): Promise<void> => {
    const expected = Buffer.alloc(size);
    CONTENT.copy(expected, MiB);
    CONTENT.copy(expected, 5 * MiB);
    await writeFile(join(folder, 'expected'), expected);
    assert.match(qemuImg('compare', '-f', 'raw', '-F', 'qcow2', join(folder, 'expected'), path), /identical/);
    qemuImg('check', '-f', 'qcow2', path);
  };

  it('makes an image with what was written, in any order, and nothing else', async () => {
    await write({}, 8 * MiB);
    await compare(8 * MiB);
    assert.deepEqual((await readdir(folder)).sort(), ['disk.qcow2', 'expected']);
    assert.ok((await readFile(path)).length < 4 * MiB);
  });

  it('lets nobody else read a new image, and keeps the permissions of one that it replaces', async () => {
    const mode = async (): Promise<number> => (await stat(path)).mode % 0o1000;
    await write({}, 8 * MiB);
    assert.equal(await mode(), 0o600);
    await chmod(path, 0o640);
    await write({ force: true }, 8 * MiB);
    assert.equal(await mode(), 0o640);
  });

  it('rounds an odd size up to whole sectors', async () => {
    await write({}, 8 * MiB + 100);
    await compare(8 * MiB + 512);
  });

  it('leaves nothing when it is not finished', async () => {
    await write({}, 8 * MiB, false);
    assert.deepEqual(await readdir(folder), []);
  });

  it('refuses a file that exists; by force replaces it when it is complete', async () => {
    await writeFile(path, 'old');
    await assert.rejects(write({}, 8 * MiB), { code: 'VB_TARGET_EXISTS' });
    await write({ force: true }, 8 * MiB, false);
    assert.equal(await readFile(path, 'utf8'), 'old');
    await write({ force: true }, 8 * MiB);
    await compare(8 * MiB);
  });

  it('replaces the file that a link points to, and no link that points nowhere', async () => {
    const real = join(folder, 'real.qcow2');
    await symlink(real, path);
    await assert.rejects(write({}, 8 * MiB), { code: 'VB_TARGET_INVALID' });
    await writeFile(real, 'old');
    await write({ force: true }, 8 * MiB);
    assert.ok((await lstat(path)).isSymbolicLink());
    await compare(8 * MiB);
    assert.deepEqual((await readdir(folder)).sort(), ['disk.qcow2', 'expected', 'real.qcow2']);
  });

  it('takes no name that someone else took in the meantime', async () => {
    await using target = await openQcow2Target(path)({ size: MiB, data: [], label: 'disk' });
    await writeFile(path, 'of someone else');
    await assert.rejects(target.finish(), { code: 'VB_TARGET_EXISTS', cure: /--force/ });
    assert.equal(await readFile(path, 'utf8'), 'of someone else');
  });

  it('never mixes two restores to one image, nor takes one for complete that is not', async () => {
    const specification = { size: 8 * MiB, data: [], label: 'disk' };
    await using first = await openQcow2Target(path)(specification);
    await first.write(0, CONTENT);
    await assert.rejects(openQcow2Target(path)(specification), { code: 'VB_IMAGE_LOCKED' });
    // What a second one does where the file system has no locks.
    await rm(`${path}.partial`);
    await using second = await openQcow2Target(path)(specification);
    await second.write(MiB, CONTENT);
    await assert.rejects(first.finish(), { code: 'VB_FILE_CHANGED' });
    await first[Symbol.asyncDispose]();
    await second.write(5 * MiB, CONTENT);
    await second.finish();
    await compare(8 * MiB);
  });

  it('refuses what is no file', async () => {
    await mkdir(path);
    await assert.rejects(write({ force: true }, MiB), { code: 'VB_TARGET_INVALID' });
  });

  for (const made of [
    'cluster_size=4096,compat=1.1,lazy_refcounts=on,refcount_bits=64',
    'cluster_size=131072,compat=0.10',
    'extended_l2=on,cluster_size=131072',
  ]) {
    it(`makes an image like one with ${made}`, async () => {
      const model = join(folder, 'model.qcow2');
      qemuImg('create', '-q', '-f', 'qcow2', '-o', made, model, String(8 * MiB));
      const like = await imageInfo(model, { format: 'qcow2' });
      await write({ like }, 8 * MiB);
      await compare(8 * MiB);
      const { clusterSize, qcow2 } = await imageInfo(path, { format: 'qcow2' });
      assert.deepEqual({ clusterSize, qcow2 }, { clusterSize: like.clusterSize, qcow2: like.qcow2 });
    });
  }

  it('writes into an image that exists, and makes the rest read as zeros', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', path, String(8 * MiB));
    execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 2M 1M', path], { stdio: 'ignore' });
    await write({ inPlace: { zeroed: false } }, 8 * MiB);
    await compare(8 * MiB);
    await assert.rejects(write({ inPlace: { zeroed: false } }, 9 * MiB), { code: 'VB_TARGET_TOO_SMALL' });
  });
});
