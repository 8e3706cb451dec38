import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { CommandFolder } from './testing/command-folder.js';
import { ServeProcess } from './testing/serve-process.js';

const MIB = 2 ** 20;
const run = promisify(execFile);

describe('vbackup serve --writable', function () {
  this.timeout(120_000);
  let folder: CommandFolder;
  let ids: string[];

  before(async function () {
    requireTools(this, ['nbdinfo', 'qemu-io']);
    folder = await CommandFolder.make();
    await folder.file('disk.raw', 8 * MIB, [{ offset: 0, bytes: randomBytes(MIB) }]);
    ids = [];
    for (let round = 0; round < 2; round += 1) {
      ids.push((await folder.done('backup --hypervisor file disk.raw -r repo')).slice(0, 16));
    }
  });
  after(() => folder?.[Symbol.asyncDispose]());

  const serve = (line: string): Promise<ServeProcess> =>
    ServeProcess.start(`${line} -r repo --socket nbd.sock`, { cwd: folder.path });

  const qemuIo = async (uri: string, ...commands: readonly string[]): Promise<void> => {
    const { stdout } = await run('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
    assert.doesNotMatch(stdout, /verification|failed/);
  };

  it('keeps what clients write beside the backup, for the next server, also after a kill', async () => {
    const before = await folder.done('map disk.raw@latest -r repo --json');
    {
      await using server = await serve('disk.raw@latest --writable kept');
      assert.equal(server.ready?.exports[0]?.writable, true);
      await qemuIo(server.uri('disk'), 'write -P 0x11 4M 64k', 'write -P 0x22 100 50', 'discard 64k 64k');
      const { stdout } = await run('nbdinfo', [`--map=vbackup:changed-since-${ids[0]}`, '--json', server.uri('disk')]);
      assert.deepEqual(
        JSON.parse(stdout).map(({ offset, length, type }: Record<string, number>) => [offset, length, type]),
        [
          [0, 4096, 1],
          [4096, 61_440, 0],
          [65_536, 65_536, 1],
          [131_072, 4 * MIB - 131_072, 0],
          [4 * MIB, 65_536, 1],
          [4 * MIB + 65_536, 4 * MIB - 65_536, 0],
        ],
      );
    }
    {
      await using server = await serve('disk.raw@latest --writable kept --export another');
      const uri = server.uri('another');
      await qemuIo(uri, 'read -P 0x11 4M 64k', 'read -P 0x22 100 50', 'read -P 0 64k 64k');
      await qemuIo(uri, 'write -f -P 0x33 5M 4k');
      server.kill('SIGKILL');
      await server.exit();
    }
    assert.deepEqual((await readdir(folder.at('kept'))).toSorted(), ['disk.raw.disk.overlay', 'lock']);
    {
      await using server = await serve(`${ids[1]} --writable kept`);
      await qemuIo(server.uri('disk'), 'read -P 0x11 4M 64k', 'read -P 0x33 5M 4k');
    }
    assert.deepEqual(await readdir(folder.at('kept')), ['disk.raw.disk.overlay']);
    await folder.done('verify disk.raw@latest -r repo');
    assert.equal(await folder.done('map disk.raw@latest -r repo --json'), before);
  });

  it('refuses writes without it', async () => {
    await using server = await serve('disk.raw@latest');
    assert.equal(server.ready?.exports[0]?.writable, false);
    await assert.rejects(run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', server.uri('disk')]), {
      stderr: /read-only|Read-only|can't open/,
    });
  });

  it('refuses the overlay of another backup, one that is in use, and one whose image was written to', async () => {
    const refused = (line: string, code: string, exitCode: number): Promise<string> =>
      folder.refused(`serve ${line} -r repo --socket other.sock`, exitCode, code);
    {
      await using _server = await serve(`${ids[0]} --writable own`);
      await refused(`${ids[0]} --writable own`, 'VB_OVERLAY_LOCKED', 11);
    }
    await refused(`${ids[1]} --writable own`, 'VB_OVERLAY_OTHER', 1);
    await folder.file('image.raw', MIB, []);
    {
      await using _server = await serve('image.raw --writable image');
    }
    await writeFile(folder.at('image.raw'), randomBytes(MIB));
    await refused('image.raw --writable image', 'VB_OVERLAY_OTHER', 1);
    await refused(`${ids[0]} --writable image.raw`, 'VB_IO', 1);
  });
});
