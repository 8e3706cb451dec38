import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { requireTools } from '@vbackup/core/testing';
import { runCommand } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';
import { parseJsonLines } from './testing/json-promise.js';

const MiB = 1024 * 1024;
const IDENTITY = '--uuid 0d8fc66f-accb-4b1e-8b24-64002cba376f --ctime 1700000000';

describe('archives of disks and backups', () => {
  let folder: CommandFolder;

  beforeEach(async () => {
    folder = await CommandFolder.make();
    await folder.file('disk.raw', 9 * MiB, [
      { offset: MiB + 4096, bytes: randomBytes(MiB) },
      { offset: 9 * MiB - 512, bytes: randomBytes(512) },
    ]);
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const run = (line: string): ReturnType<CommandFolder['run']> =>
    folder.run(line, { env: { VBACKUP_STATE: folder.at('state') } });
  const done = async (line: string): Promise<string> => {
    const { code, out, err } = await run(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  };
  const refused = async (line: string, exitCode: number | null, code: string): Promise<void> => {
    const before = readdirSync(folder.path).filter((name) => name !== 'state' && name !== 'repo');
    const result = await run(line);
    const told = `vbackup ${line}\n${result.out}${result.err}`;
    assert.ok(result.code === exitCode || (exitCode === null && result.code !== 0), told);
    assert.match(result.err, new RegExp(`\\[${code}\\]$`, 'm'));
    const after = readdirSync(folder.path).filter((name) => name !== 'state' && name !== 'repo');
    assert.deepEqual(after, before, line);
  };
  const same = (left: string, right: string): void =>
    assert.ok(readFileSync(folder.at(left)).equals(readFileSync(folder.at(right))), `${left} is not ${right}`);

  describe('vma create', () => {
    it('holds raw and qcow2 images as they are, for readers of others too', async function () {
      requireTools(this, ['qemu-img', 'qemu-nbd', 'python3']);
      folder.tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'disk.qcow2');
      writeFileSync(folder.at('vm.conf'), 'memory: 512\n');
      const out = await done('vma create a.vma -c vm.conf -d one=disk.raw --device two=disk.qcow2 --json');
      const item = parseJsonLines(out.trimEnd().split('\n')).at(-2);
      assert.ok(item?.type === 'summary' && 'written' in item && item.command === 'vma create');
      assert.deepEqual(item.written.configs, ['vm.conf']);
      assert.deepEqual(item.written.sidecar, 'a.vma.sha256s');
      assert.deepEqual(
        item.written.devices.map(({ name, size }) => [name, size]),
        [
          ['one', 9 * MiB],
          ['two', 9 * MiB],
        ],
      );
      folder.tool(
        'python3',
        new URL('../../../lab/vma-reader.py', import.meta.url).pathname,
        'extract',
        'a.vma',
        'out',
      );
      const disks = readdirSync(folder.at('out')).filter((name) => name.includes('one') || name.includes('two'));
      assert.equal(disks.length, 2);
      for (const disk of disks) same(`out/${disk}`, 'disk.raw');
    });

    it('names and writes it as Proxmox does, and is the same bytes again', async () => {
      writeFileSync(folder.at('qemu-server.conf'), 'name: web\nmemory: 512\nlock: backup\n');
      await done(`vma create . --pve 123 -c qemu-server.conf -d scsi0=disk.raw ${IDENTITY}`);
      const [name = ''] = readdirSync(folder.path).filter((file) => file.endsWith('.vma'));
      assert.match(name, /^vzdump-qemu-123-\d{4}(_\d\d){2}-\d\d_\d\d_\d\d\.vma$/);
      await done(`vma create b.vma --pve 123 -c qemu-server.conf -d scsi0=disk.raw ${IDENTITY}`);
      same(name, 'b.vma');
      const text = readFileSync(folder.at(name)).toString('latin1');
      assert.ok(text.includes('#qmdump#map:scsi0:drive-scsi0:local:raw:\n'));
      assert.ok(!text.includes('lock: backup'));
    });

    it('goes to standard output, and nothing else does', async () => {
      const shell = `"$0" "$1" vma create - -d one=disk.raw ${IDENTITY} > out.vma`;
      const { runProgram, BIN } = await import('./testing/command.js');
      const env = { VBACKUP_STATE: folder.at('state') };
      const { code, err } = await runProgram('/bin/sh', ['-c', shell, process.execPath, BIN], {
        cwd: folder.path,
        env,
      });
      assert.equal(code, 0, err);
      await done(`vma create file.vma -d one=disk.raw ${IDENTITY}`);
      same('out.vma', 'file.vma');
    });

    it('takes a disk from standard input, of exactly the size that was told', async () => {
      const { runProgram, BIN } = await import('./testing/command.js');
      const env = { VBACKUP_STATE: folder.at('state') };
      const create = (size: string): ReturnType<typeof runProgram> => {
        const line = `cat disk.raw | "$0" "$1" vma create in.vma -d size=${size}:one=- ${IDENTITY}`;
        return runProgram('/bin/sh', ['-c', line, process.execPath, BIN], { cwd: folder.path, env });
      };
      for (const [size, told] of [
        ['10M', /ended after 9437184 of 10485760 bytes \[VB_INVALID_ARGUMENT\]/],
        ['8M', /has more than 8388608 bytes \[VB_INVALID_ARGUMENT\]/],
      ] as const) {
        const { code, err } = await create(size);
        assert.equal(code, 2);
        assert.match(err, told);
        assert.ok(!readdirSync(folder.path).some((name) => name.startsWith('in.')));
      }
      const { code, err } = await create('9M');
      assert.equal(code, 0, err);
      await done(`vma create file.vma -d one=disk.raw ${IDENTITY}`);
      same('in.vma', 'file.vma');
      await refused('vma create x.vma -d one=-', 2, 'VB_CLI_USAGE');
      await refused('vma create x.vma -d size=9M:one=disk.raw', 2, 'VB_CLI_USAGE');
    });

    it('refuses JSON and an archive on one standard output', async () => {
      const { code, out } = await run('vma create - --json -d a=disk.raw');
      assert.equal(code, 2);
      assert.match(out, /"code":"VB_CLI_USAGE"/);
    });

    for (const [what, line, exitCode, code] of [
      ['no device', 'vma create x.vma', 2, 'VB_CLI_USAGE'],
      ['two devices of one name', 'vma create x.vma -d a=disk.raw -d a=disk.raw', 2, 'VB_CLI_USAGE'],
      ['a source that is not there', 'vma create x.vma -d a=nothing.raw', 10, 'VB_GUEST_NOT_FOUND'],
      ['a configuration that is not there', 'vma create x.vma -c none -d a=disk.raw', 10, 'VB_FILE_NOT_FOUND'],
      ['a name that Proxmox could not read', 'vma create x.vma -d .=disk.raw', null, 'VB_VMA_UNSAFE_NAME'],
      ['a number that no guest has', 'vma create x.vma --pve 7 -d a=disk.raw', 2, 'VB_CLI_USAGE'],
      ['a uuid that is none', 'vma create x.vma --uuid 7 -d a=disk.raw', 2, 'VB_INVALID_ARGUMENT'],
      ['a file that exists', 'vma create disk.raw -d a=disk.raw', 1, 'VB_TARGET_EXISTS'],
      ['a folder that is not there', 'vma create none/x.vma -d a=disk.raw', 1, 'VB_IO'],
    ] as const) {
      it(`refuses ${what}, and leaves nothing`, () => refused(line, exitCode, code));
    }
  });

  describe('import, export and repack', () => {
    it('bring a disk through every format and back', async function () {
      requireTools(this, ['zstd']);
      await done('vma create a.vma -d scsi0=disk.raw --pve 100');
      folder.tool('zstd', '-q', 'a.vma');
      await done('-r repo import vma a.vma.zst');
      const [backup] = parseJsonLines((await done('-r repo list --json')).trimEnd().split('\n')).filter(
        (line) => line.type === 'summary' && 'backup' in line,
      );
      assert.ok(backup !== undefined && 'backup' in backup);
      const { id, hypervisor } = backup.backup;
      assert.equal(hypervisor, 'vma');
      await done(`-r repo export raw ${id} out.raw`);
      same('out.raw', 'disk.raw');
      await done(`-r repo export vma ${id} b.vma --compress zstd`);
      await done('-r again import vma b.vma');
      await done('-r again export raw drive-scsi0@latest again.raw');
      same('again.raw', 'disk.raw');
      await done('vma repack b.vma c.vma');
      await done('-r third import vma c.vma');
      await done('-r third export raw drive-scsi0@latest third.raw');
      same('third.raw', 'disk.raw');
      assert.deepEqual(
        readdirSync(folder.at('repo')).filter((name) => name.startsWith('.')),
        [],
        'what was unpacked is left',
      );
    });

    it('write a folder that virtnbdrestore restores', async function () {
      requireTools(this, ['virtnbdrestore', 'qemu-img', 'qemu-nbd']);
      await done('-r repo --hypervisor file disk.raw');
      writeFileSync(folder.at('disk.raw'), randomBytes(MiB), { flag: 'r+' });
      await done('-r repo --hypervisor file disk.raw');
      await done('-r repo export stream disk.raw@latest stream');
      assert.ok(readdirSync(folder.at('stream')).every((name) => !name.startsWith('.')));
      await refused('-r repo export stream disk.raw@latest stream', 1, 'VB_TARGET_EXISTS');
      const found = readdirSync(folder.at('stream')).find((name) => name.endsWith('.full.data')) ?? '';
      const connection = ['-U', 'test:///default', '-f', folder.at('nbd.sock'), '--logfile', folder.at('log')];
      folder.tool('virtnbdrestore', ...connection, '--noprogress', '-i', 'stream', '-o', 'restored');
      const restored = readdirSync(folder.at('restored')).find((name) => found.startsWith(name.split('.')[0] ?? '!'));
      assert.notEqual(restored, undefined, `${readdirSync(folder.at('restored')).join(' ')}`);
      folder.tool('qemu-img', 'convert', '-O', 'raw', `restored/${restored}`, 'restored.raw');
      same('restored.raw', 'disk.raw');
      await done('-r other import stream stream');
      await done(`-r other export raw ${found.split('.')[0]}@latest other.raw`);
      same('other.raw', 'disk.raw');
    });

    it('write qcow2 images, and every disk into a folder', async function () {
      requireTools(this, ['qemu-img', 'qemu-nbd']);
      await done('vma create a.vma -d scsi0=disk.raw -d scsi1=disk.raw --pve 100');
      await done('-r repo import vma a.vma');
      mkdirSync(folder.at('all'));
      await done('-r repo export qcow2 a@latest all');
      assert.deepEqual(readdirSync(folder.at('all')).toSorted(), ['drive-scsi0.qcow2', 'drive-scsi1.qcow2']);
      folder.tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', 'all/drive-scsi1.qcow2', 'out.raw');
      same('out.raw', 'disk.raw');
      await refused('-r repo export qcow2 a@latest one.qcow2', 2, 'VB_CLI_USAGE');
      await refused('-r repo export qcow2 a@latest - --disk drive-scsi0', 2, 'VB_CLI_USAGE');
      await done('-r repo export qcow2 drive-scsi0@latest one.qcow2');
      await refused('-r repo export qcow2 drive-scsi0@latest one.qcow2', 1, 'VB_TARGET_EXISTS');
    });

    for (const name of ['04-tails', '05-allzero', '07-manyconfigs', '11-vmatool-packed', '13-shuffled-gaps']) {
      it(`repack keeps every byte of ${name}`, async function () {
        requireTools(this, ['python3']);
        const reader = new URL('../../../lab/vma-reader.py', import.meta.url).pathname;
        const fixture = new URL(`../../core/fixtures/vma/${name}.vma`, import.meta.url).pathname;
        await done(`vma repack ${fixture} a.vma`);
        const digests = (path: string): string[] =>
          folder.tool('python3', reader, 'verify', path).match(/"sha256": "[0-9a-f]{64}"/g) ?? [];
        assert.ok(digests('a.vma').length > 0);
        assert.deepEqual(digests('a.vma'), digests(fixture));
      });
    }

    for (const name of ['missing-cluster', 'trunc-at-extent-boundary', 'dup-cluster', 'header-bad-md5']) {
      it(`repack and import refuse ${name}, and leave nothing`, async () => {
        const fixture = new URL(`../../core/fixtures/vma/corrupt/${name}.vma`, import.meta.url).pathname;
        await refused(`vma repack ${fixture} a.vma`, 14, '[A-Z0-9_]+');
        await refused(`-r repo import vma ${fixture}`, 14, '[A-Z0-9_]+');
      });
    }

    it('repack puts clusters in order, and drops none', async () => {
      const fixture = new URL('../../core/fixtures/vma/02-multi-interleaved.vma', import.meta.url).pathname;
      await done(`vma repack ${fixture} a.vma`);
      await done(`vma repack a.vma b.vma`);
      same('a.vma', 'b.vma');
      const listed = async (path: string): Promise<string> => (await done(`vma list --compat ${path}`)).trim();
      assert.equal(await listed('a.vma'), await listed(fixture));
    });

    it('repack takes some of the devices, and create puts devices of several archives into one', async () => {
      const golden = (name: string): string => new URL(`../../core/fixtures/vma/${name}`, import.meta.url).pathname;
      const parts = ['drive-efidisk0', 'drive-scsi0', 'drive-scsi1', 'drive-tpmstate0-backup'];
      await done(`vma repack ${golden('02-multi-interleaved.vma')} whole.vma`);
      await done(`vma repack ${golden('02-multi-interleaved.vma')} left.vma -d 1,drive-scsi0`);
      await done(`vma repack ${golden('02-multi-interleaved.vma')} right.vma --skip 1,drive-scsi0 --compress zstd`);
      const names = async (path: string): Promise<(string | undefined)[]> =>
        (await done(`vma list --compat ${path}`))
          .split('\n')
          .flatMap((line) => / devname: (\S+)$/.exec(line)?.slice(1) ?? []);
      assert.deepEqual(await names('left.vma'), parts.slice(0, 2));
      assert.deepEqual(await names('right.vma'), parts.slice(2));
      await done('vma config left.vma --all -o conf');
      const conf = readFileSync(folder.at('conf/qemu-server.conf'), 'utf8');
      assert.ok(conf.length > 0);
      const join = `-d format=vma:left.vma -d format=vma:right.vma -c conf/qemu-server.conf -c conf/qemu-server.fw`;
      const [uuid = ''] = /uuid": ?"([^"]*)/.exec(await done('vma list whole.vma --json'))?.slice(1) ?? [];
      await done(`vma create joined.vma ${join} --uuid ${uuid}`);
      same('joined.vma', 'whole.vma');
      await done('vma create renamed.vma -d format=vma:boot=left.vma:drive-scsi0 -d format=vma:data=right.vma:1');
      assert.deepEqual(await names('renamed.vma'), ['boot', 'data']);
      await done('vma extract whole.vma one');
      await done('vma extract renamed.vma two');
      same('one/drive-scsi0.raw', 'two/boot.raw');
      same('one/drive-scsi1.raw', 'two/data.raw');
    });

    it('--dedup makes the same bytes of the same disks, however they came', async () => {
      await done('vma create a.vma -d one=disk.raw --dedup --ctime 1700000000');
      await done('vma create b.vma -d format=vma:a.vma --dedup');
      await done('vma create other.vma -d one=disk.raw --ctime 1700000000');
      await done('vma repack other.vma c.vma --dedup');
      same('a.vma', 'b.vma');
      same('a.vma', 'c.vma');
      await done('vma create later.vma -d one=disk.raw --dedup');
      const [first, later] = ['a.vma', 'later.vma'].map((name) => readFileSync(folder.at(name)));
      assert.ok(first !== undefined && later !== undefined && !first.equals(later), 'the time is another');
      assert.ok(first.subarray(12_800).equals(later.subarray(12_800)), 'all but the header is equal');
    });

    for (const [what, line, exitCode, code] of [
      ['an archive that is none', 'vma repack disk.raw x.vma', null, 'VB_VMA_BAD_MAGIC'],
      ['an archive that is not there', 'vma repack none.vma x.vma', 10, 'VB_FILE_NOT_FOUND'],
      ['an import of nothing', '-r repo import vma none.vma', 10, 'VB_FILE_NOT_FOUND'],
      ['an import of a folder without backups', '-r repo import stream .', 10, 'VB_FILE_NOT_FOUND'],
      ['a folder that is not there', '-r repo import stream none', 10, 'VB_FILE_NOT_FOUND'],
      ['a format nobody knows', 'export ova x y', 2, 'VB_CLI_USAGE'],
      ['options of an archive for another format', 'export raw x y --compress zstd', 2, 'VB_CLI_USAGE'],
      ['a backup that is not there', '-r none export vma x y.vma', 10, 'VB_REPOSITORY_NOT_FOUND'],
    ] as const) {
      it(`refuse ${what}`, () => refused(line, exitCode, code));
    }
  });

  describe('backup --format vma', () => {
    it('writes a machine straight into an archive, and no repository', async () => {
      await done('--hypervisor file disk.raw --format vma -o a.vma -r repo');
      assert.ok(!readdirSync(folder.path).includes('repo'));
      await done('-r repo import vma a.vma');
      await done('-r repo export raw drive-scsi0@latest out.raw');
      same('out.raw', 'disk.raw');
    });

    for (const [what, line] of [
      ['a format without an output', '--hypervisor file disk.raw --format vma'],
      ['an output without a format', '--hypervisor file disk.raw -o a.vma'],
      ['two disks', '--hypervisor file disk.raw other.raw --format vma -o a.vma'],
      ['a level', '--hypervisor file disk.raw --format vma -o a.vma --level inc'],
      ['a compression that Proxmox has not', '--hypervisor file disk.raw --format vma -o a.vma --compress lz4'],
      ['a compression that repositories have not', '--hypervisor file disk.raw --compress zstd'],
    ] as const) {
      it(`refuses ${what}`, () => refused(line, 2, 'VB_CLI_USAGE'));
    }
  });

  it('tells of itself in help', async () => {
    for (const line of ['export --help', 'import --help', 'vma create --help', 'vma repack --help']) {
      assert.equal((await runCommand(line.split(' '))).code, 0, line);
    }
  });
});
