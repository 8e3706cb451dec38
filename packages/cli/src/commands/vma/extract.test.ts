import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '@vbackup/core/testing';
import { parseJsonLines } from '../../testing/json-promise.js';
import { testProgram } from '../../testing/program.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const at = (file: string): string => join(VMA_FIXTURES, file);
const fixtureOf = (file: string): (typeof vmaFixtures)['valid'][number] =>
  vmaFixtures.valid.find((fixture) => fixture.file === file) ?? assert.fail(file);
const codeOf = (expect: string): string | undefined => (/^[A-Z_0-9]+$/.test(expect) ? `VB_VMA_${expect}` : undefined);

describe('vma extract', () => {
  const program = testProgram();
  const out = (...names: readonly string[]): string => join(program.folder, 'out', ...names);
  const digestOf = async (...names: readonly string[]): Promise<string> => sha256(await readFile(out(...names)));
  const assertExtracted = async (file: string, prefix = ''): Promise<void> => {
    const { devices, configs } = fixtureOf(file);
    const names = [...devices.map(({ name }) => `${prefix}${name}.raw`), ...configs.map(({ name }) => name)];
    assert.deepEqual((await readdir(out())).sort(), names.sort());
    for (const { name, size, sha256: digest } of devices) {
      assert.deepEqual(
        [await digestOf(`${prefix}${name}.raw`), (await stat(out(`${prefix}${name}.raw`))).size],
        [digest, size],
      );
    }
    for (const { name, sha256: digest } of configs) assert.equal(await digestOf(name), digest);
  };

  for (const { file } of vmaFixtures.valid) {
    it(`${file} gives the disks and configurations of its manifest, from a file`, async () => {
      assert.equal(await program.run(`vma extract ${at(file)} ${out()}`), 0);
      await assertExtracted(file);
    });

    it(`${file} gives them from standard input, under Proxmox’s names`, async () => {
      program.world.input = [loadVmaFixture(file)];
      assert.equal(await program.run(`vma extract - ${out()} --compat`), 0);
      await assertExtracted(file, 'disk-');
    });
  }

  for (const { file, of } of vmaFixtures.compressed) {
    it(`${file} gives those of ${of}`, async () => {
      assert.equal(await program.run(`vma extract ${at(file)} ${out()}`), 0);
      await assertExtracted(of);
    });
  }

  for (const { file, expect } of vmaFixtures.corrupt) {
    const code = codeOf(expect);
    if (code === undefined) continue;
    it(`${file} leaves nothing, and ends with 14 and ${code}`, async () => {
      for (const source of [at(file), '-']) {
        program.world.stdout.text = '';
        program.world.input = [loadVmaFixture(file)];
        assert.equal(await program.run(`vma extract --json ${source} ${out()}`), 14);
        const last = parseJsonLines(program.world.stdout.lines).at(-1);
        assert.equal(last?.type === 'error' && last.code, code);
        await assert.rejects(readdir(out()), { code: 'ENOENT' });
      }
    });
  }

  it('keeps an odd size, to the byte', async () => {
    assert.equal(await program.run(`vma extract ${at('corrupt/dev-size-not-512.vma')} ${out()}`), 0);
    const [name = ''] = (await readdir(out())).filter((each) => each.endsWith('.raw'));
    assert.notEqual((await stat(out(name))).size % 512, 0);
  });

  it('tells the same bytes of data, read from a file or from standard input', async () => {
    const written = async (source: string): Promise<unknown[]> => {
      program.world.stdout.text = '';
      program.world.input = [loadVmaFixture('02-multi-interleaved.vma')];
      assert.equal(await program.run(`vma extract --json --force ${source} ${out()}`), 0);
      const lines = program.world.stdout.lines.map((line): unknown => JSON.parse(line));
      return lines.flatMap((line) =>
        typeof line === 'object' && line !== null && 'written' in line ? [line.written] : [],
      );
    };
    const streamed = await written('-');
    assert.ok(streamed.some((bytes) => typeof bytes === 'number' && bytes > 0));
    assert.deepEqual(await written(at('02-multi-interleaved.vma')), streamed);
  });

  it('makes sparse files', async () => {
    assert.equal(await program.run(`vma extract ${at('05-allzero.vma')} ${out()}`), 0);
    assert.equal((await stat(out('drive-virtio0.raw'))).blocks, 0);
  });

  describe('with --no-sparse', () => {
    for (const file of ['01-basic.vma', '05-allzero.vma']) {
      it(`writes the zeros of ${file}, from a file and from standard input`, async () => {
        for (const source of [at(file), '-']) {
          program.world.input = [loadVmaFixture(file)];
          assert.equal(await program.run(`vma extract ${source} ${out()} --force --no-sparse`), 0);
          await assertExtracted(file);
          for (const { name, size } of fixtureOf(file).devices) {
            assert.ok((await stat(out(`${name}.raw`))).blocks * 512 >= size, name);
          }
        }
      });
    }

    it('leaves it to the fifo where zeros are written', () =>
      program.refused(`vma extract ${at('01-basic.vma')} ${out()} --no-sparse --fifo x`, 'VB_CLI_USAGE'));
  });

  it('takes only the devices that are named, by name or number, or all but those', async () => {
    for (const [options, names] of [
      ['-d drive-scsi0,4', ['drive-scsi0.raw', 'drive-tpmstate0-backup.raw']],
      ['--skip drive-scsi0 --skip 1', ['drive-scsi1.raw', 'drive-tpmstate0-backup.raw']],
    ] as const) {
      assert.equal(await program.run(`vma extract ${at('02-multi-interleaved.vma')} ${out()} --force ${options}`), 0);
      const found = (await readdir(out())).filter((name) => name.endsWith('.raw'));
      assert.deepEqual(found.sort(), names);
      await rm(out(), { recursive: true });
    }
  });

  it('says which devices there are when a name is wrong, before anything is written', async () => {
    for (const options of ['-d drive-scsi7', '--skip nothing', '--map drive-scsi7=x.raw']) {
      program.world.stderr.text = '';
      await program.refused(`vma extract ${at('01-basic.vma')} ${out()} ${options}`, 'VB_VMA_NOT_FOUND', 10);
      assert.match(program.world.stderr.text, /it has drive-scsi0/);
      await assert.rejects(readdir(out()), { code: 'ENOENT' });
    }
  });

  it('maps a device to a file, and the others to the folder', async () => {
    const [, , scsi1] = fixtureOf('02-multi-interleaved.vma').devices;
    assert.equal(
      await program.run(`vma extract ${at('02-multi-interleaved.vma')} ${out()} --map drive-scsi1=my.img`),
      0,
    );
    assert.equal(sha256(await readFile(join(program.folder, 'my.img'))), scsi1?.sha256);
    assert.ok(!(await readdir(out())).includes('drive-scsi1.raw'));
    assert.equal(await program.run(`vma extract ${at('02-multi-interleaved.vma')} --map drive-scsi0=only.img`), 0);
    assert.deepEqual((await readdir(program.folder)).filter((name) => name.endsWith('.img')).sort(), [
      'my.img',
      'only.img',
    ]);
  });

  describe('to standard output', () => {
    it('writes one device, every byte of it', async () => {
      const [, scsi0] = fixtureOf('02-multi-interleaved.vma').devices;
      assert.equal(await program.run(`vma extract ${at('02-multi-interleaved.vma')} --map drive-scsi0=-`), 0);
      assert.equal(sha256(Buffer.concat(program.world.outputBytes)), scsi0?.sha256);
      assert.equal(program.world.stdout.text, '');
    });

    it('puts clusters in order from a file, and says that it cannot from a pipe', async () => {
      const [scsi0] = fixtureOf('13-shuffled-gaps.vma').devices;
      assert.equal(await program.run(`vma extract ${at('13-shuffled-gaps.vma')} --map drive-scsi0=-`), 0);
      assert.equal(sha256(Buffer.concat(program.world.outputBytes)), scsi0?.sha256);
      program.world.input = [loadVmaFixture('13-shuffled-gaps.vma')];
      assert.equal(await program.run('vma extract - --map drive-scsi0=-'), 1);
      assert.match(program.world.stderr.text, /decompress the archive into a file/);
    });

    for (const options of ['--json --map drive-scsi0=-', '--map a=- --map b=-']) {
      it(`refuses ${options}`, async () => {
        assert.equal(await program.run(`vma extract ${at('01-basic.vma')} ${options}`), 2);
      });
    }
  });

  it('leaves a folder that is not empty alone, unless it is forced to', async () => {
    await mkdir(out());
    await writeFile(out('drive-scsi0.raw'), 'mine');
    await program.refused(`vma extract ${at('01-basic.vma')} ${out()}`, 'VB_TARGET_EXISTS', 1);
    assert.equal(await readFile(out('drive-scsi0.raw'), 'utf8'), 'mine');
    assert.equal(await program.run(`vma extract ${at('corrupt/missing-cluster.vma')} ${out()} --force`), 14);
    assert.equal(await readFile(out('drive-scsi0.raw'), 'utf8'), 'mine');
    assert.equal(await program.run(`vma extract ${at('01-basic.vma')} ${out()} --force`), 0);
    await assertExtracted('01-basic.vma');
  });

  describe('with --salvage', () => {
    for (const source of ['file', 'input']) {
      it(`gives what is there and says what is not, from ${source === 'file' ? 'a file' : 'standard input'}`, async () => {
        const file = 'corrupt/missing-cluster.vma';
        program.world.input = [loadVmaFixture(file)];
        const name = source === 'file' ? at(file) : '-';
        assert.equal(await program.run(`vma extract --json --salvage ${name} ${out()}`), 14);
        const lines = parseJsonLines(program.world.stdout.lines);
        const item = lines.find((line) => 'missing' in line);
        assert.ok(item !== undefined && 'missing' in item);
        assert.deepEqual(item.missing, [{ offset: 40 * 65_536, length: 65_536 }]);
        const last = lines.at(-1);
        assert.ok(last?.type === 'error');
        assert.deepEqual([last.code, last.exitCode], ['VB_VMA_MISSING_CLUSTER', 14]);
        assert.equal(await program.run(`vma extract ${at('20-corrupt-base.vma')} ${out('base')}`), 0);
        const whole = await readFile(out('base', 'drive-scsi0.raw'));
        whole.fill(0, 40 * 65_536, 41 * 65_536);
        assert.ok((await readFile(out('drive-scsi0.raw'))).equals(whole));
      });
    }
  });

  it('needs a target', () => program.refused(`vma extract ${at('01-basic.vma')}`, 'VB_CLI_USAGE'));
});
