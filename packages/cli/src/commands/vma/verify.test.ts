import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestArchive, openVmaArchive, writeSidecar } from '@vbackup/core';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '@vbackup/core/testing';
import { parseJsonLines } from '../../testing/json-promise.js';
import { testProgram } from '../../testing/program.js';

const at = (file: string): string => join(VMA_FIXTURES, file);

describe('vma verify', () => {
  const program = testProgram();
  const jsonLines = (): ReturnType<typeof parseJsonLines> => parseJsonLines(program.world.stdout.lines);

  for (const { file, expect } of vmaFixtures.corrupt) {
    const damaged = /^[A-Z_0-9]+$/.test(expect) && expect !== 'UNSAFE_NAME';
    it(`${file}: ${damaged ? `${expect}, and ends with 14` : 'good'}, from a file and from standard input`, async () => {
      for (const from of ['file', 'input']) {
        program.world.stdout.text = '';
        program.world.input = [loadVmaFixture(file)];
        const exitCode = await program.run(`vma verify --json ${from === 'file' ? at(file) : '-'}`);
        const last = jsonLines().at(-1);
        const found = last?.type === 'error' ? [last.code, last.exitCode] : ['none', 0];
        assert.deepEqual([exitCode, ...found], damaged ? [14, `VB_VMA_${expect}`, 14] : [0, 'none', 0], from);
      }
    });
  }

  for (const { file, devices } of vmaFixtures.valid) {
    it(`${file} is good, and has the digests of its manifest`, async () => {
      assert.equal(await program.run(`vma verify --json --hash ${at(file)}`), 0);
      const item = jsonLines().find((line) => 'contents' in line);
      assert.ok(item !== undefined && 'contents' in item);
      assert.deepEqual(
        item.contents,
        devices.map(({ name, sha256 }) => ({ device: name, sha256, checked: false, reason: 'no-sidecar' })),
      );
    });
  }

  describe('tells how far it is', () => {
    const file = '02-multi-interleaved.vma';
    const { devices } = vmaFixtures.valid.find((fixture) => fixture.file === file) ?? assert.fail(file);
    const cases = [
      ['of a pipe', '-'],
      ['of content that is compared', `--hash ${at(file)}`],
      ['of a file that is read to its end', `--read ${at(file)}`],
    ] as const;
    for (const [what, operands] of cases) {
      it(`${what}, device by device`, async () => {
        program.world.input = [loadVmaFixture(file)];
        assert.equal(await program.run(`vma verify --json ${operands}`), 0);
        const ends = jsonLines().flatMap((line) =>
          line.type === 'progress' && line.finished !== undefined ? [`${line.disk} ${line.done} ${line.planned}`] : [],
        );
        assert.deepEqual(ends.sort(), devices.map(({ name, size }) => `${name} ${size} ${size}`).sort());
      });
    }

    it('in words for people', async () => {
      assert.equal(await program.run(`vma verify --hash ${at('01-basic.vma')}`), 0);
      assert.match(program.world.stderr.text, /^drive-scsi0: check of .*\ndrive-scsi0: .* data in /);
    });

    it('but not where only headers are read', async () => {
      assert.equal(await program.run(`vma verify --json ${at(file)}`), 0);
      assert.ok(jsonLines().every(({ type }) => type !== 'progress'));
    });
  });

  it('says plainly that content was not checked where there is no sidecar', async () => {
    assert.equal(await program.run(`vma verify ${at('01-basic.vma')}`), 0);
    assert.deepEqual(program.world.stdout.lines, [
      `${at('01-basic.vma')}  good`,
      '  content of drive-scsi0 not checked: the format has no checksum of it, and there is no sidecar (.sha256s)',
    ]);
  });

  describe('with a sidecar', () => {
    const copyOf = async (file: string): Promise<string> => {
      const path = join(program.folder, 'a.vma');
      await copyFile(at(file), path);
      return path;
    };
    const digest = async (file: string, path: string): Promise<void> => {
      await using archive = await openVmaArchive(at(file));
      await writeSidecar(path, await digestArchive(archive));
    };

    it('finds the bit that the format lets pass', async () => {
      const path = await copyOf('corrupt/data-bitflip.vma');
      assert.equal(await program.run(`vma verify ${path}`), 0);
      await digest('20-corrupt-base.vma', `${path}.sha256s`);
      assert.equal(await program.run(`vma verify ${path}`), 14);
      assert.match(program.world.stderr.text, /\[VB_VMA_DIGEST\]/);
      assert.match(program.world.stdout.text, /DAMAGED\n.*compared with .*a\.vma\.sha256s\n.*\[VB_VMA_DIGEST\]/);
      assert.equal(await program.run(`vma verify --headers ${path}`), 0);
    });

    it('takes one of another name, also for standard input', async () => {
      const path = join(program.folder, 'digests');
      await digest('01-basic.vma', path);
      program.world.input = [loadVmaFixture('01-basic.vma.zst')];
      assert.equal(await program.run(`vma verify --json --sidecar ${path} -`), 0);
      const item = jsonLines().find((line) => 'contents' in line);
      assert.ok(item !== undefined && 'contents' in item);
      assert.deepEqual([item.sidecar, item.contents[0]?.checked], [path, true]);
    });

    it('refuses that of another archive, and one that is not there', async () => {
      const path = join(program.folder, 'digests');
      await digest('01-basic.vma', path);
      await program.refused(`vma verify ${at('04-tails.vma')} --sidecar ${path}`, 'VB_VMA_SIDECAR', 1);
      await program.refused(`vma verify ${at('04-tails.vma')} --sidecar nowhere`, 'VB_FILE_NOT_FOUND', 10);
    });
  });

  it('shows what can be had of a damaged archive, and the ranges that cannot', async () => {
    assert.equal(await program.run(`vma verify --salvage ${at('corrupt/missing-cluster.vma')}`), 14);
    assert.match(program.world.stdout.text, /drive-scsi0: 69 of 70 clusters can be had/);
    assert.match(
      program.world.stdout.text,
      /lost are bytes 2621440 to 2686975 of drive-scsi0 \[VB_VMA_MISSING_CLUSTER\]/,
    );
  });
});

describe('vma info', () => {
  const program = testProgram();

  for (const { file, clusters, extents } of vmaFixtures.valid) {
    it(`counts the clusters of ${file} as its manifest does`, async () => {
      assert.equal(await program.run(`vma info --json ${at(file)}`), 0);
      const item = parseJsonLines(program.world.stdout.lines).find((line) => 'clusters' in line);
      assert.ok(item !== undefined && 'clusters' in item);
      const sum = (key: 'full' | 'partial' | 'zero'): number =>
        item.clusters.reduce((total, device) => total + device[key], 0);
      if (clusters !== undefined) {
        assert.deepEqual({ full: sum('full'), partial: sum('partial'), zero: sum('zero') }, clusters);
      }
      if (extents !== undefined) assert.equal(item.extents, extents.length);
    });
  }

  it('shows people a table, and ends with 14 where clusters are missing', async () => {
    assert.equal(await program.run(`vma info ${at('corrupt/missing-cluster.vma')}`), 14);
    assert.match(program.world.stdout.text, /^DEVICE +CLUSTERS +FULL +PARTIAL +ZERO +MISSING +STORED +ORDER$/m);
    assert.match(program.world.stdout.text, /^drive-scsi0 +70 .* 1 .* ascending$/m);
  });
});
