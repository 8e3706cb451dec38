import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, open, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '@vbackup/core';
import {
  attachLoopDevice,
  FakeDisk,
  FakeHypervisor,
  mountFileSystem,
  NbdFixture,
  RepositoryFixture,
  requireNbdServers,
  requireTools,
} from '@vbackup/core/testing';
import { CommandFolder } from './testing/command-folder.js';
import { parseJsonLines } from './testing/json-promise.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 64 * KIB;

describe('vbackup map', function () {
  this.timeout(60_000);
  let folder: CommandFolder;
  beforeEach(async () => {
    folder = await CommandFolder.make();
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const lines = (text: string): string[][] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/));

  describe('of a file', () => {
    const images: readonly (readonly [string, number, readonly number[]])[] = [
      ['empty', 0, []],
      ['one byte', 1, [0]],
      ['all hole', 10 * MIB, []],
      ['all data', PAGE, [0]],
      ['data in the middle', 10 * MIB, [3 * MIB, 3 * MIB + PAGE, 7 * MIB]],
      ['data at the end, which is no sector', 5 * MIB + 77, [0, 5 * MIB - PAGE + 77]],
      ['a hole at the end, which is no sector', 5 * MIB + 77, [MIB]],
    ];
    for (const [what, size, offsets] of images) {
      it(`prints with --json what qemu-img prints, to the byte: ${what}`, async function () {
        requireTools(this, ['qemu-img']);
        const fillings = offsets.map((offset) => ({ offset, bytes: randomBytes(Math.min(PAGE, size - offset)) }));
        await folder.file('disk.raw', size, fillings);
        const wanted = folder.tool('qemu-img', 'map', '-f', 'raw', '--output=json', 'disk.raw');
        assert.equal(await folder.done('map disk.raw --json'), wanted);
        assert.equal(await folder.done('map ./disk.raw --json --method qemu-img'), wanted);
      });
    }

    it('shows a table, and sums', async () => {
      await folder.file('disk.raw', 10 * MIB, [{ offset: 3 * MIB, bytes: randomBytes(PAGE) }]);
      const wanted = [
        ['START', 'LENGTH', 'KIND'],
        ['0', String(3 * MIB), 'hole'],
        [String(3 * MIB), String(PAGE), 'data'],
        [String(3 * MIB + PAGE), String(7 * MIB - PAGE), 'hole'],
      ];
      assert.deepEqual(lines(await folder.done('map disk.raw')), wanted);
      assert.deepEqual(lines(await folder.done('map -q disk.raw')), wanted);
      const sums = new Map(lines(await folder.done('map disk.raw --totals')).map(([name, value]) => [name, value]));
      assert.equal(sums.get('size'), String(10 * MIB));
      assert.equal(sums.get('data'), String(PAGE));
      assert.equal(sums.get('hole'), String(10 * MIB - PAGE));
      assert.equal(sums.get('extents'), '3');
      assert.equal(sums.get('method'), 'seek');
    });

    it('keeps the promise of --json for its sums', async () => {
      await folder.file('disk.raw', MIB);
      const found = parseJsonLines((await folder.done('map disk.raw --totals --json')).trimEnd().split('\n'));
      const item = found.find((line) => line.type === 'summary' && line.scope === 'item' && line.command === 'map');
      assert.ok(item !== undefined && 'fileSystem' in item);
      assert.equal(item.hole, MIB);
      assert.equal(item.changedSince, null);
    });

    it('maps as it is told to', async () => {
      await folder.file('disk.raw', MIB, [{ offset: PAGE, bytes: Buffer.alloc(PAGE) }]);
      assert.deepEqual(lines(await folder.done('map disk.raw --method none')).slice(1), [['0', String(MIB), 'data']]);
      assert.deepEqual(lines(await folder.done('map disk.raw --method scan')).slice(1), [['0', String(MIB), 'zero']]);
      assert.equal(lines(await folder.done('map disk.raw --method seek')).length, 4);
    });

    it('shows what only FIEMAP knows', async function () {
      using ext4 = mountFileSystem(this, 'ext4');
      const path = join(ext4.path, 'disk.raw');
      await using file = await open(path, 'w');
      await file.truncate(MIB);
      await file.write(randomBytes(PAGE), 0, PAGE, PAGE);
      folder.tool('fallocate', '-o', String(8 * PAGE), '-l', String(PAGE), path);
      const [title, , data, , unwritten] = lines(await folder.done(`map ${path} --method fiemap`));
      assert.deepEqual(title, ['START', 'LENGTH', 'KIND', 'PHYSICAL', 'FLAGS']);
      assert.deepEqual(data?.slice(0, 3), [String(PAGE), String(PAGE), 'data']);
      assert.ok(Number(data?.[3]) > 0);
      assert.deepEqual(unwritten?.slice(0, 3), [String(8 * PAGE), String(PAGE), 'zero']);
      assert.equal(unwritten?.[4], 'unwritten');
    });

    it('follows links, and maps a block device as data', async function () {
      const image = await folder.file('disk.raw', MIB);
      await symlink('disk.raw', folder.at('link'));
      assert.equal(await folder.done('map link --json'), await folder.done('map disk.raw --json'));
      using device = attachLoopDevice(this, image);
      assert.deepEqual(lines(await folder.done(`map ${device.path}`)).slice(1), [['0', String(MIB), 'data']]);
    });

    it('writes maps of many extents as its reader reads them', async () => {
      await using file = await open(folder.at('disk.raw'), 'w');
      const count = 5000;
      await file.truncate(count * 8 * KIB);
      for (let at = 0; at < count; at += 1) await file.write(Buffer.of(1), 0, 1, at * 8 * KIB);
      const [first, ...rest] = (await folder.done('map disk.raw')).trimEnd().split('\n');
      assert.match(first ?? '', /START/);
      assert.equal(rest.length, 2 * count);
      const parsed: unknown = JSON.parse(await folder.done('map disk.raw --json'));
      assert.ok(Array.isArray(parsed) && parsed.length === 2 * count);
    });

    for (const [what, line, exitCode, code] of [
      ['a path that is not there', './missing', 10, 'VB_FILE_NOT_FOUND'],
      ['a name that is neither a file nor a backup', 'missing.raw', 10, 'VB_FILE_NOT_FOUND'],
      ['a folder', '.', 2, 'VB_FILE_TYPE'],
      ['a folder by its name', 'folder', 2, 'VB_FILE_TYPE'],
      ['a pipe', 'pipe', 2, 'VB_FILE_TYPE'],
      ['a character device', '/dev/zero', 2, 'VB_FILE_TYPE'],
      ['a file of the kernel', '/proc/self/maps', 2, 'VB_FILE_TYPE'],
      ['--disk', 'disk.raw --disk xvda', 2, 'VB_CLI_USAGE'],
      ['a method that nobody knows', 'disk.raw --method guess', 2, 'VB_CLI_USAGE'],
      ['nothing', '', 2, 'VB_CLI_USAGE'],
    ] as const) {
      it(`refuses ${what}`, async () => {
        await folder.file('disk.raw', MIB);
        await mkdir(folder.at('folder'));
        folder.tool('mkfifo', 'pipe');
        const said = await folder.refused(`map ${line} -r ./none`, exitCode, code);
        assert.match(said, /\n {2}\S/, 'no cure');
      });
    }

    it('says an error with --json as its only line', async () => {
      const { code, out, err } = await folder.run('map ./missing --json');
      assert.equal(code, 10);
      assert.equal(err, '');
      const [error, ...rest] = parseJsonLines(out.trimEnd().split('\n'));
      assert.equal(error?.type, 'error');
      assert.deepEqual(rest, []);
    });
  });

  describe('of an NBD export', () => {
    for (const [name, exportName] of [
      ['memory', ''],
      ['odd-size', ''],
      ['zero-size', ''],
      ['no-extents', ''],
      ['qemu', 'vda'],
    ] as const) {
      it(`prints with --json what qemu-img prints: ${name}`, async function () {
        requireNbdServers(this);
        await using server = await NbdFixture.start(name);
        const uri = server.uri(exportName);
        const wanted = folder.tool('qemu-img', 'map', '-f', 'raw', '--output=json', uri);
        assert.deepEqual(JSON.parse(await folder.done(`map ${uri} --json`)), JSON.parse(wanted));
      });
    }

    it('shows a table, and sums', async function () {
      requireNbdServers(this);
      await using server = await NbdFixture.start('all-flags');
      assert.deepEqual(lines(await folder.done(`map ${server.uri()}`)), [
        ['START', 'LENGTH', 'KIND'],
        ['0', String(PAGE), 'data'],
        [String(PAGE), String(PAGE), 'hole'],
        [String(2 * PAGE), String(PAGE), 'zero'],
        [String(3 * PAGE), String(13 * PAGE), 'data'],
      ]);
      assert.match(await folder.done(`map ${server.uri()} --totals`), /^method +base:allocation$/m);
    });

    it('refuses what is of files and of backups, and a server that is not there', async function () {
      const uri = 'nbd+unix:///?socket=/nowhere/nbd.sock';
      await folder.refused(`map ${uri} --method seek`, 2, 'VB_CLI_USAGE');
      await folder.refused(`map ${uri} --disk xvda`, 2, 'VB_CLI_USAGE');
      await folder.refused(`map ${uri}`, 1, 'VB_NBD_CONNECT');
    });
  });

  describe('of a backup', () => {
    let fixture: RepositoryFixture;
    let disks: FakeDisk[];
    let hypervisor: FakeHypervisor;

    beforeEach(async () => {
      fixture = await RepositoryFixture.create();
      disks = ['xvda', 'xvdb'].map((name) => new FakeDisk({ id: `id-of-${name}`, name, size: 4 * MIB }));
      hypervisor = new FakeHypervisor(disks);
      disks[0]?.guestWrite(MIB, randomBytes(MIB));
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    const backUp = async (): Promise<Manifest> => (await fixture.backUp(hypervisor)).manifest;
    const map = (line: string): Promise<string> => folder.done(`map ${line} -r ${fixture.repository.location}`);

    it('shows what the disk held then', async () => {
      const { id } = await backUp();
      disks[0]?.guestWrite(0, Buffer.alloc(4 * MIB));
      await backUp();
      const wanted = [
        ['0', String(MIB), 'zero'],
        [String(MIB), String(MIB), 'data'],
        [String(2 * MIB), String(2 * MIB), 'zero'],
      ];
      assert.deepEqual(lines(await map(`${id} --disk xvda`)).slice(1), wanted);
      assert.deepEqual(lines(await map('xvda@latest')).slice(1), [['0', String(4 * MIB), 'zero']]);
      const json: unknown = JSON.parse(await map(`${id.slice(0, 8)} --disk xvda --json`));
      assert.ok(Array.isArray(json));
      assert.deepEqual(json[1], { start: MIB, length: MIB, depth: 0, present: true, zero: false, data: true });
      assert.match(await map(`${id} --disk xvda --totals`), /^method +index$/m);
    });

    it('shows what differs between two of them, both ways', async () => {
      const first = await backUp();
      disks[0]?.guestWrite(3 * MIB + 5, Buffer.of(1));
      disks[0]?.guestWrite(MIB, Buffer.alloc(PAGE));
      const second = await backUp();
      assert.equal(second.level, 'inc');
      assert.deepEqual(lines(await map(`xvda@latest --changed-since ${first.id}`)), [
        ['START', 'LENGTH', 'KIND'],
        [String(MIB), String(PAGE), 'zero'],
        [String(3 * MIB), String(PAGE), 'data'],
      ]);
      assert.deepEqual(lines(await map(`${first.id} --disk xvda --changed-since ${second.id}`)).slice(1), [
        [String(MIB), String(PAGE), 'data'],
        [String(3 * MIB), String(PAGE), 'zero'],
      ]);
      const json: unknown = JSON.parse(await map(`xvda@latest --changed-since ${first.id} --json`));
      assert.deepEqual(json, [
        { start: MIB, length: PAGE, depth: 0, present: true, zero: true, data: true },
        { start: 3 * MIB, length: PAGE, depth: 0, present: true, zero: false, data: true },
      ]);
      assert.equal(await map(`xvda@latest --changed-since ${second.id} --json`), '[]\n');
      const sums = await map(`xvda@latest --changed-since ${first.id} --totals`);
      assert.match(sums, new RegExp(`^data +${PAGE}$`, 'm'));
      assert.match(sums, new RegExp(`^changed since +${first.id}$`, 'm'));
    });

    it('shows what a file, or an export, has changed since', async function () {
      requireNbdServers(this);
      const { id } = await backUp();
      const now = disks[0]?.content() ?? assert.fail();
      now.fill(9, 2 * MIB - 1, 2 * MIB + 1);
      now.fill(0, MIB, MIB + PAGE);
      await folder.file('disk.raw', now.length, [{ offset: 0, bytes: now }]);
      const wanted = [
        [String(MIB), String(PAGE), 'zero'],
        [String(2 * MIB - PAGE), String(2 * PAGE), 'data'],
      ];
      assert.deepEqual(lines(await map(`disk.raw --changed-since ${id} --disk xvda`)).slice(1), wanted);
      await using server = await NbdFixture.start('file', { files: folder.path });
      assert.deepEqual(lines(await map(`${server.uri()} --changed-since xvda@latest`)).slice(1), wanted);
    });

    it('says that the bytes of an image of another format are no disk', async function () {
      requireTools(this, ['qemu-img']);
      const { id } = await backUp();
      folder.tool('qemu-img', 'create', '-q', '-f', 'qcow2', folder.at('disk.qcow2'), '4M');
      const line = `map disk.qcow2 --changed-since ${id} --disk xvda -r ${fixture.repository.location}`;
      const { code, err } = await folder.run(line);
      assert.equal(code, 0);
      assert.match(err, /warning: disk.qcow2 .* the format qcow2: .*qemu-nbd .*\[VB_IMAGE_FORMAT\]/);
    });

    it('asks which disk, and refuses what is not there', async () => {
      const { id } = await backUp();
      const at = `-r ${fixture.repository.location}`;
      assert.match(await folder.refused(`map ${id} ${at}`, 2, 'VB_CLI_USAGE'), /choose with --disk: xvda, xvdb/);
      await folder.refused(`map ${id} --disk xvdz ${at}`, 2, 'VB_CLI_USAGE');
      await folder.refused(`map ${id} --disk xvda --method seek ${at}`, 2, 'VB_CLI_USAGE');
      await folder.refused(`map ffff ${at}`, 10, 'VB_BACKUP_NOT_FOUND');
      await folder.refused(`map web02@latest ${at}`, 10, 'VB_BACKUP_NOT_FOUND');
      assert.match(await folder.refused(`map xvda ${at}`, 10, 'VB_FILE_NOT_FOUND'), /write xvda@latest/);
      await folder.refused(`map ${id} --disk xvda --changed-since ffff ${at}`, 10, 'VB_BACKUP_NOT_FOUND');
    });

    it('refuses to compare two disks', async () => {
      const { id } = await backUp();
      const other = new FakeHypervisor([new FakeDisk({ id: 'other', name: 'xvdc', size: MIB })]);
      const foreign = (await fixture.backUp(other, 'copy')).manifest;
      const line = `map ${id} --disk xvda --changed-since ${foreign.id} -r ${fixture.repository.location}`;
      assert.match(await folder.refused(line, 10, 'VB_BACKUP_NOT_FOUND'), /does not hold the disk xvda/);
    });
  });
});
