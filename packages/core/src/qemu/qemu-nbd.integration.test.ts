import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { NbdClient } from '../nbd/index.js';
import { requireTools } from '../testing/tools.js';
import { addBitmap, removeBitmap } from './bitmaps.js';
import { newQemuFolder, removeQemuFolder } from './qemu-folder.js';
import { QemuNbd, type QemuNbdOptions } from './qemu-nbd.js';
import { imageInfo } from './query-image.js';
import { qemuVersion } from './run-qemu.js';

const run = promisify(execFile);
const MiB = 1024 * 1024;
const CHILD = fileURLToPath(new URL('../testing/qemu-child.js', import.meta.url));

const isRunning = (pid: number): boolean => {
  try {
    const [, state = 'Z'] = /\) (.)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return state !== 'Z';
  } catch {
    return false;
  }
};

async function until(condition: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  while (!condition()) await delay(10, undefined, { signal });
}

describe('the programs of QEMU', function () {
  this.timeout(60_000);
  let folder = '';
  let image = '';
  const options = (more: Partial<QemuNbdOptions> = {}): QemuNbdOptions => ({
    path: image,
    format: 'qcow2',
    readOnly: true,
    connections: 2,
    ...more,
  });
  const connect = (server: QemuNbd, contexts: readonly string[] = []): Promise<NbdClient> =>
    NbdClient.connect({ address: server.address, exportName: '', metaContexts: contexts, reconnects: 0 });

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'qemu-io']);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-test-'));
    image = join(folder, 'a.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', image, '4M']);
    await run('qemu-img', ['bitmap', '--add', '-g', '65536', image, 'b0']);
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 1M 64k', image]);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('tell their version', async () => {
    for (const program of ['qemu-img', 'qemu-nbd'] as const) assert.match(await qemuVersion(program), /^\d+\.\d+/);
  });

  it('tell about an image', async () => {
    const { format, virtualSize, bitmaps } = await imageInfo(image, { format: 'qcow2' });
    assert.deepEqual([format, virtualSize], ['qcow2', 4 * MiB]);
    assert.deepEqual(bitmaps, [{ name: 'b0', granularity: 65_536, auto: true, inUse: false }]);
    await assert.rejects(imageInfo(image, { format: 'vmdk' }), { code: /^VB_(IMAGE_FORMAT|QEMU_FAILED)$/ });
    await assert.rejects(imageInfo(join(folder, 'none')), { code: 'VB_QEMU_FAILED', message: /No such file/ });
    await assert.rejects(imageInfo(image, { signal: AbortSignal.abort(new Error('stop')) }), /stop/);
  });

  it('serve it to us alone, and leave nothing', async () => {
    const server = await QemuNbd.start(options({ bitmap: 'b0' }));
    assert.equal((await stat(server.folder)).mode % 0o1000, 0o700);
    const client = await connect(server, ['base:allocation', 'qemu:dirty-bitmap:b0']);
    const bytes = Buffer.alloc(64 * 1024);
    await client.read(MiB, bytes);
    assert.ok(bytes.every((byte) => byte === 7));
    const dirty: object[] = [];
    for await (const extent of client.blockStatus('qemu:dirty-bitmap:b0', { offset: 0, length: client.size })) {
      if (extent.flags !== 0) dirty.push(extent);
    }
    assert.deepEqual(dirty, [{ offset: MiB, length: 65_536, flags: 1, context: 'qemu:dirty-bitmap:b0' }]);
    await client.close();
    await server[Symbol.asyncDispose]();
    assert.ok(!existsSync(server.folder) && !isRunning(server.pid ?? 0));
  });

  it('add and remove dirty bitmaps, and are not stopped in the middle', async () => {
    const names = async (): Promise<readonly string[]> => (await imageInfo(image)).bitmaps.map(({ name }) => name);
    const edit = { path: image, format: 'qcow2', name: 'b1' };
    const stop = new AbortController();
    const added = addBitmap({ ...edit, signal: stop.signal });
    stop.abort();
    await added.catch(() => addBitmap(edit));
    await assert.rejects(addBitmap(edit), { code: 'VB_QEMU_FAILED', message: /b1/ });
    assert.deepEqual(await names(), ['b0', 'b1']);
    {
      await using _server = await QemuNbd.start(options());
      await assert.rejects(removeBitmap(edit), { code: 'VB_IMAGE_LOCKED' });
    }
    for (let time = 0; time < 2; time += 1) await removeBitmap(edit);
    assert.deepEqual(await names(), ['b0']);
    await removeBitmap({ ...edit, path: join(folder, 'none') });
    await assert.rejects(removeBitmap({ ...edit, signal: AbortSignal.abort(new Error('stop')) }), /stop/);
  });

  it('remove a bitmap that was not closed, as after a QEMU that was killed', async () => {
    const child = spawn('qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'ignore'] });
    child.stdin.write('write 0 64k\n');
    await once(child.stdout, 'data');
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
    assert.deepEqual(
      (await imageInfo(image)).bitmaps.map(({ inUse }) => inUse),
      [true],
    );
    await assert.rejects(QemuNbd.start(options({ bitmap: 'b0' })), { message: /inconsistent/ });
    await removeBitmap({ path: image, format: 'qcow2', name: 'b0' });
    assert.deepEqual((await imageInfo(image)).bitmaps, []);
  });

  it('keep what was written and flushed', async () => {
    const server = await QemuNbd.start(options({ readOnly: false, connections: 1 }));
    const client = await connect(server);
    await client.write(2 * MiB, Buffer.alloc(MiB, 9));
    await client.flush();
    await server[Symbol.asyncDispose]();
    await client.close();
    await run('qemu-io', ['-f', 'qcow2', '-c', 'read -P 9 2M 1M', image]);
  });

  it('end with their last client', async () => {
    await using server = await QemuNbd.start(options());
    const client = await connect(server);
    await client.close();
    await until(() => !isRunning(server.pid ?? 0));
  });

  it('say why they do not serve, and leave nothing', async () => {
    const refused: readonly (readonly [Partial<QemuNbdOptions>, string, RegExp])[] = [
      [{ path: join(folder, 'none') }, 'VB_QEMU_FAILED', /No such file/],
      [{ bitmap: 'b9' }, 'VB_QEMU_FAILED', /Bitmap 'b9' is not found/],
      [{ format: 'vdi' }, 'VB_QEMU_FAILED', /VDI|vdi/],
    ];
    for (const [more, code, message] of refused) {
      const own = newQemuFolder();
      await assert.rejects(QemuNbd.start(options({ ...more, folder: own })), { code, message });
      assert.ok(!existsSync(own));
    }
    await writeFile(image, Buffer.alloc(MiB));
    await assert.rejects(QemuNbd.start(options()), { code: 'VB_IMAGE_FORMAT' });
  });

  it('refuse an image that another one has open for writing', async () => {
    await using _writer = await QemuNbd.start(options({ readOnly: false }));
    await assert.rejects(QemuNbd.start(options()), { code: 'VB_IMAGE_LOCKED' });
    await assert.rejects(imageInfo(image, { format: 'qcow2' }), { code: 'VB_IMAGE_LOCKED' });
    assert.equal((await imageInfo(image, { format: 'qcow2', inUse: true })).virtualSize, 4 * MiB);
  });

  it('are said to be missing where they are', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = folder;
    const own = newQemuFolder();
    try {
      const missing = { code: 'VB_QEMU_MISSING', cure: /apt install qemu-utils/ };
      await assert.rejects(QemuNbd.start(options({ folder: own })), missing);
      await assert.rejects(imageInfo(image), missing);
    } finally {
      process.env['PATH'] = path;
    }
    assert.ok(!existsSync(own));
  });

  it('stop starting when they are told to', async () => {
    const stop = new AbortController();
    const own = newQemuFolder();
    const starting = QemuNbd.start(options({ folder: own, signal: stop.signal }));
    stop.abort(new Error('stop'));
    await assert.rejects(starting, /stop/);
    assert.ok(!existsSync(own));
  });

  it('tell with their words that they died in use', async () => {
    const server = await QemuNbd.start(options());
    const client = await connect(server);
    assert.equal(server.failure(), undefined);
    process.kill(server.pid ?? 0, 'SIGKILL');
    await assert.rejects(client.read(0, Buffer.alloc(512)), { code: /^VB_NBD_/ });
    await until(() => server.failure() !== undefined);
    assert.match(server.failure()?.message ?? '', /a\.qcow2: qemu-nbd says: killed by SIGKILL$/);
    await client.close();
    await server[Symbol.asyncDispose]();
    assert.ok(!existsSync(server.folder));
  });

  it('do not outlive a process that is killed; its folder is removed by name', async function () {
    requireTools(this, ['setpriv']);
    const own = newQemuFolder();
    const child = spawn(process.execPath, [CHILD, image, own], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')).map(String);
    const pid = Number(line);
    assert.ok(isRunning(pid));
    child.kill('SIGKILL');
    await until(() => !isRunning(pid));
    assert.ok(existsSync(own));
    await removeQemuFolder(own);
    await removeQemuFolder(own);
    assert.ok(!existsSync(own));
  });

  it('are ended by the name of their folder, and nothing else is', async () => {
    const server = await QemuNbd.start(options());
    await removeQemuFolder(server.folder);
    assert.ok(!existsSync(server.folder) && !isRunning(server.pid ?? 0));
    const own = newQemuFolder();
    await using other = await QemuNbd.start(options({ folder: own }));
    // The number belongs to someone else by now.
    const left = await QemuNbd.start(options());
    process.kill(left.pid ?? 0, 'SIGKILL');
    await until(() => !isRunning(left.pid ?? 0));
    await writeFile(join(left.folder, 'pid'), `${other.pid}\n`);
    await removeQemuFolder(left.folder);
    assert.ok(isRunning(other.pid ?? 0));
    await assert.rejects(removeQemuFolder(folder), { code: 'VB_INVALID_ARGUMENT' });
  });
});
