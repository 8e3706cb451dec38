import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ContextExtent, type Extent, NbdServer } from '@vbackup/core';
import {
  attachLoopDevice,
  MemoryExport,
  mountFileSystem,
  NbdFixture,
  requireNbdServers,
  requireTools,
} from '@vbackup/core/testing';
import { CommandFolder } from './testing/command-folder.js';
import { parseJsonLines } from './testing/json-promise.js';

const MIB = 1024 * 1024;
const PAGE = 64 * 1024;

describe('vbackup copy', function () {
  this.timeout(60_000);
  let folder: CommandFolder;
  let content: Buffer;

  beforeEach(async () => {
    folder = await CommandFolder.make();
    const bytes = randomBytes(MIB);
    await folder.file('disk.raw', 24 * MIB + 77, [
      { offset: 2 * MIB, bytes },
      { offset: 10 * MIB, bytes: Buffer.alloc(MIB) },
      { offset: 24 * MIB, bytes: randomBytes(77) },
    ]);
    content = await readFile(folder.at('disk.raw'));
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const assertSame = async (name: string): Promise<void> => {
    assert.ok((await readFile(folder.at(name))).equals(content), `${name} is another disk`);
  };
  const assertSparse = async (name: string): Promise<void> => {
    const { blocks } = await stat(folder.at(name));
    assert.ok(blocks * 512 <= 2 * MIB, `${name} takes ${blocks * 512} bytes`);
  };

  const serve = (disk: MemoryExport): Promise<NbdServer> =>
    NbdServer.listen({ address: { kind: 'unix', path: folder.at('nbd.sock') }, open: () => Promise.resolve(disk) });

  describe('from file to file', () => {
    it('copies the data, and leaves the holes', async () => {
      const out = await folder.done('copy disk.raw copy.raw');
      assert.match(out, /^disk\.raw copied to copy\.raw: 24\.0 MiB, 1\.\d MiB (written|shared) in 0:0\d$/m);
      await assertSame('copy.raw');
      await assertSparse('copy.raw');
      assert.deepEqual((await readdir(folder.path)).toSorted(), ['copy.raw', 'disk.raw']);
    });

    it('tells what it does in the words of every other command', async () => {
      const out = await folder.done('copy disk.raw copy.raw --verify --json');
      const found = parseJsonLines(out.trimEnd().split('\n'));
      const kinds = found.map((line) => ('scope' in line ? `${line.type} ${line.scope}` : line.type));
      assert.equal(kinds[0], 'start run');
      assert.ok(kinds.includes('start disk'));
      assert.deepEqual(kinds.slice(-3), ['progress', 'summary item', 'summary run']);
      const item = found.find((line) => line.type === 'summary' && line.scope === 'item' && line.command === 'copy');
      assert.ok(item !== undefined && 'verified' in item);
      assert.deepEqual(
        { source: item.source, target: item.target, size: item.size, verified: item.verified },
        { source: 'disk.raw', target: 'copy.raw', size: content.length, verified: true },
      );
      const done = found.flatMap((line) => (line.type === 'progress' ? [line.done] : []));
      assert.deepEqual(
        done,
        done.toSorted((left, right) => left - right),
      );
      assert.equal(done.at(-1), 2 * content.length);
    });

    it('shares blocks where the file system can, and says where it cannot', async function () {
      using xfs = mountFileSystem(this, 'xfs');
      using ext4 = mountFileSystem(this, 'ext4');
      for (const { path } of [xfs, ext4]) folder.tool('cp', '--sparse=always', 'disk.raw', path);
      const on = (name: string): string => join(xfs.path, name);
      assert.match(await folder.done(`copy ${on('disk.raw')} ${on('copy.raw')} --reflink always`), / shared in /);
      assert.match(await folder.done(`copy ${on('disk.raw')} ${on('other.raw')} --reflink never`), / written in /);
      for (const name of ['copy.raw', 'other.raw']) assert.ok((await readFile(on(name))).equals(content));
      const line = `copy ${join(ext4.path, 'disk.raw')} ${join(ext4.path, 'copy.raw')} --reflink always`;
      await folder.refused(line, 1, 'VB_UNSUPPORTED');
    });

    it('says on standard error what it does, and only there', async () => {
      const { code, out, err } = await folder.run('copy disk.raw copy.raw --verify');
      assert.equal(code, 0);
      assert.match(err, /^disk\.raw: copy of 24\.0 MiB, to be verified$/m);
      assert.match(err, /^disk\.raw: .* read, 1\.\d MiB data in 0:0\d, /m);
      assert.match(out, /^disk\.raw copied to .*, verified in 0:0\d\n$/);
      assert.deepEqual(await folder.run('copy disk.raw other.raw -q'), { code: 0, out: '', err: '' });
    });

    it('replaces a file only with --force', async () => {
      await writeFile(folder.at('copy.raw'), 'precious');
      assert.match(await folder.refused('copy disk.raw copy.raw', 1, 'VB_TARGET_EXISTS'), /--force/);
      assert.equal(await readFile(folder.at('copy.raw'), 'utf8'), 'precious');
      await folder.done('copy disk.raw copy.raw --force');
      await assertSame('copy.raw');
    });

    it('copies from and to block devices', async function () {
      const image = await folder.file('device.raw', 25 * MIB, [{ offset: 0, bytes: Buffer.alloc(25 * MIB, 255) }]);
      using device = attachLoopDevice(this, image);
      await folder.done(`copy disk.raw ${device.path} --verify`);
      const written = await readFile(device.path);
      assert.ok(written.subarray(0, content.length).equals(content));
      await folder.done(`copy ${device.path} back.raw`);
      assert.ok((await readFile(folder.at('back.raw'))).equals(written));
    });

    it('warns where an image is no raw disk', async function () {
      requireTools(this, ['qemu-img']);
      folder.tool('qemu-img', 'create', '-q', '-f', 'qcow2', 'disk.qcow2', '4M');
      const { code, err } = await folder.run('copy disk.qcow2 copy.qcow2');
      assert.equal(code, 0);
      assert.match(err, /warning: .* the format qcow2: .* qemu-img convert .*\[VB_IMAGE_FORMAT\]/);
      folder.tool('qemu-img', 'compare', '-q', 'disk.qcow2', 'copy.qcow2');
    });
  });

  describe('over NBD', () => {
    before(function () {
      requireNbdServers(this);
      requireTools(this, ['nbdcopy']);
    });

    const served = async (fixture: string): Promise<NbdFixture> => {
      const pool = await CommandFolder.make();
      try {
        await pool.file('disk.raw', 32 * MIB, [{ offset: 0, bytes: Buffer.alloc(26 * MIB, 255) }]);
        return await NbdFixture.start(fixture, { files: pool.path });
      } finally {
        await pool[Symbol.asyncDispose]();
      }
    };

    for (const [fixture, exportName] of [
      ['file', ''],
      ['file-4k', ''],
      ['qemu-file', 'vda'],
    ] as const) {
      it(`writes a file to a server, over what was there, and back: ${fixture}`, async () => {
        await using server = await served(fixture);
        const uri = server.uri(exportName);
        await folder.done(`copy disk.raw ${uri} --verify --connections 3`);
        folder.tool('nbdcopy', uri, 'judge.raw');
        const judged = await readFile(folder.at('judge.raw'));
        assert.ok(judged.subarray(0, content.length).equals(content));
        await folder.done(`copy ${uri} back.raw --verify`);
        assert.ok((await readFile(folder.at('back.raw'))).equals(judged));
        const same = folder.tool('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', 'back.raw', uri);
        assert.match(same, /identical/);
        // What was zeroed is a hole again, on the server and here.
        assert.ok((await stat(folder.at('back.raw'))).blocks * 512 <= 10 * MIB);
      });
    }

    it('leaves what lies behind the source on a longer target', async () => {
      await using server = await served('file');
      await folder.done(`copy disk.raw ${server.uri()}`);
      folder.tool('nbdcopy', server.uri(), 'judge.raw');
      const behind = (await readFile(folder.at('judge.raw'))).subarray(content.length, 26 * MIB);
      assert.ok(behind.equals(Buffer.alloc(behind.length, 255)));
    });

    it('copies from server to server', async () => {
      await using from = await NbdFixture.start('file', { files: folder.path });
      await using to = await served('qemu-file');
      await folder.done(`copy ${from.uri()} ${to.uri('vda')} --verify`);
      folder.tool('nbdcopy', to.uri('vda'), 'judge.raw');
      assert.ok((await readFile(folder.at('judge.raw'))).subarray(0, content.length).equals(content));
    });

    it('refuses a target that is too small, or that only reads', async () => {
      await using small = await NbdFixture.start('memory');
      await folder.file('large.raw', 65 * MIB);
      await folder.refused(`copy large.raw ${small.uri()}`, 1, 'VB_NBD_TARGET_SIZE');
      await using readOnly = await NbdFixture.start('readonly');
      await folder.file('little.raw', MIB);
      await folder.refused(`copy little.raw ${readOnly.uri()}`, 1, 'VB_NBD_READ_ONLY');
    });

    it('leaves no file where the source fails, and the old one as it was', async () => {
      await using server = await NbdFixture.start('eio-at-32m');
      const said = await folder.refused(`copy ${server.uri()} copy.raw`, 1, 'VB_NBD_REQUEST_FAILED');
      assert.match(said, /33554432|EIO/);
      assert.deepEqual(await readdir(folder.path), ['disk.raw']);
      await folder.refused(`copy ${server.uri()} disk.raw --force`, 1, 'VB_NBD_REQUEST_FAILED');
      await assertSame('disk.raw');
    });

    it('refuses to copy an export onto itself, and what is of files', async () => {
      await using server = await NbdFixture.start('memory');
      await folder.refused(`copy ${server.uri()} ${server.uri()}`, 1, 'VB_FILE_SAME');
      await folder.refused(`copy ${server.uri()} copy.raw --reflink always`, 2, 'VB_CLI_USAGE');
      await folder.refused(`copy ${server.uri()} disk.raw`, 1, 'VB_TARGET_EXISTS');
    });
  });

  it('reads over as many connections as it is told, and over two where nothing is said', async () => {
    const disk = new MemoryExport({ size: 8 * MIB, readOnly: true });
    let connections = 0;
    const open = (): Promise<MemoryExport> => {
      connections += 1;
      return Promise.resolve(disk);
    };
    await using _server = await NbdServer.listen({ address: { kind: 'unix', path: folder.at('nbd.sock') }, open });
    const uri = `nbd+unix:///?socket=${folder.at('nbd.sock')}`;
    for (const [options, expected] of [
      ['', 2],
      [' --connections 1', 1],
      [' --connections 7', 7],
    ] as const) {
      connections = 0;
      await folder.done(`copy ${uri} of-${expected}.raw${options}`);
      assert.equal(connections, expected);
    }
  });

  it('--verify names the first byte that differs, and ends with 14', async () => {
    const target = new LyingExport({ size: 25 * MIB });
    await using _server = await serve(target);
    const uri = `nbd+unix:///?socket=${folder.at('nbd.sock')}`;
    const { code, err } = await folder.run(`copy disk.raw ${uri} --verify`);
    assert.equal(code, 14, err);
    assert.match(err, new RegExp(`differs from disk\\.raw at byte ${2 * MIB + 12} \\[VB_COPY_DIFFERS\\]`));
    await folder.done(`copy disk.raw ${uri}`);
  });

  describe('refuses', () => {
    beforeEach(async () => {
      await mkdir(folder.at('folder'));
      await symlink('disk.raw', folder.at('symbolic.raw'));
      await link(folder.at('disk.raw'), folder.at('hard.raw'));
      folder.tool('mkfifo', 'pipe');
    });

    for (const [what, line, exitCode, code] of [
      ['a source that is not there', 'missing.raw copy.raw', 10, 'VB_FILE_NOT_FOUND'],
      ['a path that is not there', './missing copy.raw', 10, 'VB_FILE_NOT_FOUND'],
      ['a folder as the source', 'folder copy.raw', 2, 'VB_FILE_TYPE'],
      ['a pipe as the source', 'pipe copy.raw', 2, 'VB_FILE_TYPE'],
      ['a folder as the target', 'disk.raw folder --force', 1, 'VB_TARGET_INVALID'],
      ['a pipe as the target', 'disk.raw pipe --force', 1, 'VB_TARGET_INVALID'],
      ['a target in no folder', 'disk.raw missing/copy.raw', 10, 'VB_FILE_NOT_FOUND'],
      ['the same file', 'disk.raw disk.raw --force', 1, 'VB_FILE_SAME'],
      ['the same file by a symbolic link', 'disk.raw symbolic.raw --force', 1, 'VB_FILE_SAME'],
      ['the same file by another name', 'disk.raw hard.raw --force', 1, 'VB_FILE_SAME'],
      ['a backup, which is for restore', 'web01@latest copy.raw', 2, 'VB_CLI_USAGE'],
      ['the id of a backup', 'abc123 copy.raw', 2, 'VB_CLI_USAGE'],
      ['a place in a hypervisor', 'disk.raw xen:sr=1', 2, 'VB_CLI_USAGE'],
      ['connections without a server', 'disk.raw copy.raw --connections 2', 2, 'VB_CLI_USAGE'],
      ['a URI that is none', 'disk.raw nbd+unix:///x', 2, 'VB_NBD_URI'],
      ['a single place', 'disk.raw', 2, 'VB_CLI_USAGE'],
    ] as const) {
      it(what, async () => {
        assert.match(await folder.refused(`copy ${line}`, exitCode, code), /\n {2}\S/, 'no cure');
        await assertSame('disk.raw');
        const left = ['disk.raw', 'folder', 'hard.raw', 'pipe', 'symbolic.raw'];
        assert.deepEqual((await readdir(folder.path)).toSorted(), left);
      });
    }

    it('a device that is too small', async function () {
      using device = attachLoopDevice(this, await folder.file('small.img', MIB));
      await folder.refused(`copy disk.raw ${device.path}`, 1, 'VB_TARGET_TOO_SMALL');
    });
  });

  it('stops when it is interrupted, and leaves no file', async () => {
    const target = folder.at('copy.raw');
    const slow = new SlowExport({ size: 64 * MIB });
    await using _server = await serve(slow);
    const uri = `nbd+unix:///?socket=${folder.at('nbd.sock')}`;
    const interrupted = folder.run(`copy ${uri} ${target}`, {
      onText: (text, child) => {
        if (text.includes('copy of ')) child.kill('SIGINT');
      },
    });
    const { code, err } = await interrupted;
    assert.equal(code, 130, err);
    assert.match(err, /interrupted by SIGINT/);
    assert.deepEqual((await readdir(folder.path)).toSorted(), ['disk.raw', 'nbd.sock']);
  });
});

/** Tells another byte than was written. */
class LyingExport extends MemoryExport {
  override async read(offset: number, target: Buffer): Promise<void> {
    await super.read(offset, target);
    const at = 2 * MIB + 12 - offset;
    if (at >= 0 && at < target.length) target.writeUInt8(255 - target.readUInt8(at), at);
  }
}

/** Answers so late that a copy can be caught in the middle. */
class SlowExport extends MemoryExport {
  override async read(offset: number, target: Buffer): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, offset < PAGE ? 0 : 500));
    await super.read(offset, target);
  }

  override async status(_context: string, range: Extent): Promise<readonly ContextExtent[]> {
    return [{ length: range.length, flags: 0 }];
  }
}
