import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NbdServer } from '../../nbd/index.js';
import { mountFileSystem, requireTools } from '../../testing/index.js';
import { diskExport } from '../disk-export.js';
import type { ServedDisk } from '../served-disk.js';
import { OverlayFolder } from './overlay-folder.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 96 * MIB;
const run = promisify(execFile);

describe('an overlay and real clients', function () {
  this.timeout(60_000);
  let folder: string;
  let overlays: string;
  let base: Buffer;
  let uri: string;

  before(async function () {
    requireTools(this, ['nbdcopy', 'nbdinfo', 'nbdsh', 'qemu-io', 'qemu-img']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-overlay-'));
    uri = `nbd+unix:///?socket=${join(folder, 'nbd.sock')}`;
    base = Buffer.concat([randomBytes(MIB), Buffer.alloc(SIZE - 2 * MIB), randomBytes(MIB)]);
    await writeFile(join(folder, 'base.raw'), base);
  });
  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    overlays = await mkdtemp(join(folder, 'overlays-'));
  });

  const disk = (): ServedDisk => ({
    name: 'vda',
    description: 'a guest',
    size: SIZE,
    changedSince: [],
    read: async (offset, target) => void base.copy(target, 0, offset, offset + target.length),
    async *extents(range) {
      const hole = { offset: MIB, length: SIZE - 2 * MIB, kind: 'hole' } as const;
      for (const whole of [
        { offset: 0, length: MIB, kind: 'data' } as const,
        hole,
        { offset: SIZE - MIB, length: MIB, kind: 'data' } as const,
      ]) {
        const offset = Math.max(range.offset, whole.offset);
        const end = Math.min(range.offset + range.length, whole.offset + whole.length);
        if (end > offset) yield { offset, length: end - offset, kind: whole.kind };
      }
    },
    [Symbol.asyncDispose]: async () => undefined,
  });

  /** Serves the disk while `work` runs, as a server that starts and ends. */
  const serving = async (work: () => Promise<void>, path = overlays): Promise<void> => {
    await using held = await OverlayFolder.open(path);
    await using overlaid = await held.layOver(disk(), { identity: 'backup 1', name: 'vda' });
    await using _server = await NbdServer.listen({
      address: { kind: 'unix', path: join(folder, 'nbd.sock') },
      open: async () => diskExport(overlaid),
      list: async () => [{ name: 'vda' }],
    });
    await work();
  };

  const qemuIo = async (...commands: readonly string[]): Promise<string> => {
    const args = commands.flatMap((command) => ['-c', command]);
    const { stdout } = await run('qemu-io', ['-f', 'raw', '-t', 'none', '-d', 'unmap', ...args, uri]);
    assert.doesNotMatch(stdout, /error|failed|verification/i);
    return stdout;
  };

  it('take every write of qemu-io, keep it over a restart, and tell what is allocated', async () => {
    await serving(async () => {
      await qemuIo(
        'write -P 0x11 3M 64k',
        'write -P 0x22 4100k 512',
        'write -z 100k 10k',
        'write -z -u 200k 64k',
        'discard 300k 128k',
        'write -f -P 0x33 95M 5k',
        'aio_write -P 0x44 10M 4k',
        'aio_write -P 0x55 10244k 4k',
        'aio_flush',
        'flush',
      );
      const { stdout } = await run('nbdinfo', ['--map', '--json', uri]);
      const extents: { offset: number; length: number; type: number }[] = JSON.parse(stdout);
      const typeAt = (at: number) => extents.find(({ offset, length }) => at >= offset && at < offset + length)?.type;
      assert.deepEqual(
        [0, 2 * MIB, 3 * MIB, 4100 * KIB, 100 * KIB, 200 * KIB, 300 * KIB, 10 * MIB].map(typeAt),
        [0, 3, 0, 0, 0, 3, 3, 0],
      );
    });
    await serving(async () => {
      await qemuIo(
        'read -P 0x11 3M 64k',
        'read -P 0x22 4100k 512',
        'read -P 0 4198912 512',
        'read -P 0 100k 10k',
        'read -P 0 200k 64k',
        'read -P 0 300k 128k',
        'read -P 0x33 95M 5k',
        'read -P 0x44 10M 4k',
        'read -P 0x55 10244k 4k',
      );
    });
    const expected = Buffer.from(base);
    expected.fill(0x11, 3 * MIB, 3 * MIB + 64 * KIB).fill(0x22, 4100 * KIB, 4100 * KIB + 512);
    expected
      .fill(0, 100 * KIB, 110 * KIB)
      .fill(0, 200 * KIB, 264 * KIB)
      .fill(0, 300 * KIB, 428 * KIB);
    expected.fill(0x33, 95 * MIB, 95 * MIB + 5 * KIB).fill(0x44, 10 * MIB, 10 * MIB + 4 * KIB);
    expected.fill(0x55, 10 * MIB + 4 * KIB, 10 * MIB + 8 * KIB);
    await serving(async () => {
      await run('nbdcopy', ['--connections=4', uri, join(folder, 'out.raw')]);
      assert.ok(expected.equals(await readFile(join(folder, 'out.raw'))));
    });
    assert.ok((await stat(join(overlays, 'vda.overlay'))).blocks * 512 < MIB, 'it takes what was written');
    assert.deepEqual(await readdir(overlays), ['vda.overlay']);
  });

  it('are filled by nbdcopy over eight connections, and are what was copied', async () => {
    const image = Buffer.concat([randomBytes(7 * MIB), Buffer.alloc(SIZE - 10 * MIB), randomBytes(3 * MIB)]);
    await writeFile(join(folder, 'in.raw'), image);
    await serving(async () => {
      await run('nbdcopy', ['--connections=8', '--flush', join(folder, 'in.raw'), uri]);
    });
    await serving(async () => {
      await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', join(folder, 'in.raw'), uri]);
    });
  });

  it('agree with a plain buffer after thousands of mixed requests on four connections', async () => {
    // Like fio: random writes, zeroes, trims and reads of any alignment, several in flight; those in flight never overlap.
    const script = `
import random, nbd
random.seed(${randomBytes(4).readUInt32BE()})
handles = []
for _ in range(4):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    handles.append(handle)
assert handles[0].can_multi_conn()
span = 4 * 1024 * 1024
model = bytearray(open(image, "rb").read(span))
for turn in range(120):
    cuts = sorted(random.sample(range(1, span), 31))
    ranges = list(zip([0] + cuts, cuts + [span]))
    random.shuffle(ranges)
    flying = []
    for index, (begin, end) in enumerate(ranges[:16]):
        handle = handles[index % 4]
        length = min(end - begin, random.choice([1, 511, 512, 4096, 5000, 65536, 200000]))
        what = random.choice(["write", "write", "write", "zero", "trim", "read"])
        flags = random.choice([0, 0, nbd.CMD_FLAG_FUA]) if what != "read" else 0
        if what == "write":
            data = random.randbytes(length)
            model[begin:begin + length] = data
            cookie = handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), begin, flags=flags)
        elif what == "read":
            buffer = nbd.Buffer(length)
            flying.append((handle, handle.aio_pread(buffer, begin), buffer, bytes(model[begin:begin + length])))
            continue
        elif what == "zero":
            model[begin:begin + length] = bytes(length)
            cookie = handle.aio_zero(length, begin, flags=flags | random.choice([0, nbd.CMD_FLAG_NO_HOLE]))
        else:
            model[begin:begin + length] = bytes(length)
            cookie = handle.aio_trim(length, begin, flags=flags)
        flying.append((handle, cookie, None, None))
    for handle, cookie, buffer, expected in flying:
        while not handle.aio_command_completed(cookie):
            handle.poll(-1)
        if buffer is not None:
            assert bytes(buffer.to_bytearray()) == expected
    if turn % 20 == 0:
        handles[turn % 4].flush()
assert handles[0].pread(span, 0) == model
open(expected_file, "wb").write(model)
`;
    const set = [
      `uri = ${JSON.stringify(uri)}`,
      `image = ${JSON.stringify(join(folder, 'base.raw'))}`,
      `expected_file = ${JSON.stringify(join(folder, 'expected'))}`,
    ].join('\n');
    await serving(async () => {
      // The binding belongs to the system's own Python.
      await run('nbdsh', ['-n', '-c', set, '-c', script], { env: { PATH: '/usr/bin:/bin' } });
    });
    await serving(async () => {
      await run('nbdcopy', [uri, join(folder, 'out.raw')]);
      const expected = await readFile(join(folder, 'expected'));
      assert.ok(expected.equals((await readFile(join(folder, 'out.raw'))).subarray(0, expected.length)));
    });
  });

  it('refuse what does not fit any more, and keep what did', async function () {
    using small = mountFileSystem(this, 'tmpfs', { size: 8 * MIB });
    const path = join(small.path, 'overlays');
    await serving(async () => {
      await qemuIo('write -P 0x11 3M 4M', 'flush');
      await assert.rejects(run('qemu-io', ['-f', 'raw', '-c', 'write -P 0x22 20M 8M', uri]), {
        stdout: /No space left/,
      });
      await qemuIo('read -P 0x11 3M 4M', 'read -P 0 20M 8M', 'discard 3M 2M', 'write -P 0x33 40M 1M', 'flush');
    }, path);
    await serving(async () => {
      await qemuIo('read -P 0 3M 2M', 'read -P 0x11 5M 2M', 'read -P 0 20M 8M', 'read -P 0x33 40M 1M');
    }, path);
  });
});
