import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { attachLoopDevice, requireTools } from '@vbackup/core/testing';
import { BIN } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';

const MiB = 1024 * 1024;
const SIZE = 8 * MiB;
const IDENTITY = '--uuid 0d8fc66f-accb-4b1e-8b24-64002cba376f --ctime 1700000000';

describe('vbackup vma with devices', () => {
  let folder: CommandFolder;

  beforeEach(async () => {
    folder = await CommandFolder.make();
    await folder.file('disk.raw', SIZE, [
      { offset: MiB + 4096, bytes: randomBytes(3 * MiB) },
      { offset: SIZE - 512, bytes: randomBytes(512) },
    ]);
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const environment = (): NodeJS.ProcessEnv => ({ ...process.env, VBACKUP_STATE: folder.at('state') });
  const done = async (line: string): Promise<void> => {
    const { code, out, err } = await folder.run(line, { env: { VBACKUP_STATE: folder.at('state') } });
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
  };
  const same = (left: string, right: string): void =>
    assert.ok(readFileSync(folder.at(left)).equals(readFileSync(folder.at(right))), `${left} is not ${right}`);
  /** Places of archives under way. */
  const places = (): readonly string[] =>
    readdirSync(folder.at('state/archives'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.startsWith('archive/'),
    );

  it('create makes the same archive of a file, of an NBD export and of a block device', async function () {
    requireTools(this, ['nbdkit', 'sh']);
    using device = attachLoopDevice(this, folder.at('disk.raw'));
    await done(`vma create file.vma -d one=disk.raw ${IDENTITY}`);
    await done(`vma create device.vma -d one=${device.path} ${IDENTITY}`);
    const create = `${process.execPath} ${BIN} vma create -q nbd.vma -d "one=$uri" ${IDENTITY}`;
    folder.tool('sh', '-c', `VBACKUP_STATE=state nbdkit -r -U - file disk.raw --run '${create}'`);
    same('device.vma', 'file.vma');
    same('nbd.vma', 'file.vma');
    assert.deepEqual(places(), []);
  });

  for (const [what, options, allocated] of [
    ['gives the zeros of a device back to the storage', '', 3 * MiB + 128 * 1024],
    ['writes every zero of a device with --no-sparse', '--no-sparse', SIZE],
  ] as const) {
    it(`extract --map ${what}`, async function () {
      await done('vma create a.vma -d one=disk.raw');
      writeFileSync(folder.at('backing'), Buffer.alloc(SIZE + MiB, 7));
      {
        using device = attachLoopDevice(this, folder.at('backing'));
        await done(`vma extract a.vma --map one=${device.path} ${options}`);
      }
      const bytes = readFileSync(folder.at('backing'));
      assert.ok(bytes.subarray(0, SIZE).equals(readFileSync(folder.at('disk.raw'))), 'the disk differs');
      assert.ok(
        bytes.subarray(SIZE).every((byte) => byte === 7),
        'what is behind the disk stays',
      );
      const taken = statSync(folder.at('backing')).blocks * 512 - MiB;
      if (options === '') assert.ok(taken <= allocated, `${taken} bytes are allocated`);
      else assert.ok(taken >= allocated, `${taken} bytes are allocated`);
    });
  }

  it('a killed create leaves the partial file, which the next run names; without it that run succeeds', async () => {
    const line = 'vma create a.vma -d one=disk.raw';
    const child = spawn(process.execPath, [BIN, ...line.split(' '), '--limit-rate', '200K'], {
      cwd: folder.path,
      env: environment(),
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    try {
      while (
        child.exitCode === null &&
        !(existsSync(folder.at('a.vma.partial')) && places().some((name) => name.endsWith('/lock')))
      )
        await delay(20);
      assert.equal(child.exitCode, null, 'it ended before it could be killed');
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
    assert.deepEqual(readdirSync(folder.path).toSorted(), ['a.vma.partial', 'disk.raw', 'state']);
    const partial = readFileSync(folder.at('a.vma.partial'));
    for (const force of ['', ' --force']) {
      const { code, err } = await folder.run(line + force, { env: { VBACKUP_STATE: folder.at('state') } });
      assert.equal(code, 1, err);
      assert.match(err, /a\.vma\.partial exists \[VB_TARGET_EXISTS\]\n.*remove .*a\.vma\.partial if none does/);
    }
    assert.ok(readFileSync(folder.at('a.vma.partial')).equals(partial), 'it was touched');
    rmSync(folder.at('a.vma.partial'));
    await done(line);
    await done('vma verify a.vma');
    assert.deepEqual(readdirSync(folder.path).toSorted(), ['a.vma', 'a.vma.sha256s', 'disk.raw', 'state']);
    assert.deepEqual(places(), []);
  });
});
