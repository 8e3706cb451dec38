import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '@vbackup/core/testing';
import { parseJsonLines } from '../../testing/json-promise.js';
import { testProgram } from '../../testing/program.js';

describe('vma list', () => {
  const program = testProgram();
  const zone = process.env['TZ'];
  before(() => {
    process.env['TZ'] = 'UTC';
  });
  after(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });

  for (const { file, listOutput } of vmaFixtures.valid) {
    it(`prints of ${file} what Proxmox prints, with --compat`, async () => {
      assert.equal(await program.run(`vma list --compat ${join(VMA_FIXTURES, file)}`), 0);
      assert.equal(program.world.stdout.text, listOutput);
    });
  }

  for (const { file, of } of vmaFixtures.compressed) {
    it(`reads ${file}, from a file and from standard input`, async () => {
      const expected = vmaFixtures.valid.find((fixture) => fixture.file === of)?.listOutput;
      assert.equal(await program.run(`vma list --compat ${join(VMA_FIXTURES, file)}`), 0);
      program.world.input = [loadVmaFixture(file)];
      assert.equal(await program.run('vma list --compat -'), 0);
      assert.equal(program.world.stdout.text, `${expected}${expected}`);
    });
  }

  it('shows people uuid, local time, configurations and devices', async () => {
    assert.equal(await program.run(`vma list ${join(VMA_FIXTURES, '02-multi-interleaved.vma')}`), 0);
    assert.deepEqual(program.world.stdout.lines.slice(1), [
      'uuid      088ac7dd-6250-46d2-8332-86795c329cca',
      'created   2026-11-20 10:16:58 (2026-11-20T10:16:58.000Z)',
      'config    qemu-server.conf  228 B',
      'config    qemu-server.fw  51 B',
      'device 1  drive-efidisk0  528.0 KiB (540672)',
      'device 2  drive-scsi0  6.0 MiB (6291456)',
      'device 3  drive-scsi1  2.0 MiB (2097152)',
      'device 4  drive-tpmstate0-backup  4.0 MiB (4194304)',
    ]);
  });

  it('tells programs the same as JSON', async () => {
    program.world.input = [loadVmaFixture('01-basic.vma.gz')];
    assert.equal(await program.run('vma list --json -'), 0);
    const [, item] = parseJsonLines(program.world.stdout.lines);
    assert.ok(item?.type === 'summary' && 'archive' in item);
    assert.deepEqual(item.archive, {
      path: '-',
      compression: 'gzip',
      uuid: '0d8fc66f-accb-4b1e-8b24-64002cba376f',
      created: '2026-11-20T10:16:58.000Z',
      headerLength: 12800,
      configs: [{ name: 'qemu-server.conf', size: 228 }],
      devices: [{ id: 1, name: 'drive-scsi0', size: 1048576 }],
    });
  });

  it('reads nothing but the header: what is broken behind it does not matter', async () => {
    program.world.input = [loadVmaFixture('corrupt/extent-bad-magic.vma')];
    assert.equal(await program.run('vma list -'), 0);
    program.world.input = [loadVmaFixture('01-basic.vma').subarray(0, 12_800)];
    assert.equal(await program.run('vma list -'), 0);
  });

  it('warns of what is odd', async () => {
    assert.equal(await program.run(`vma list ${join(VMA_FIXTURES, '17-seed-literal.vma')}`), 0);
    assert.match(program.world.stderr.text, /warning: .*\[VB_VMA_HEADER_LENGTH\]/);
  });

  it('says what it was given, where that is no archive', async () => {
    await program.refused('vma list nothing.vma', 'VB_FILE_NOT_FOUND', 10);
    await program.refused('vma list .', 'VB_FILE_TYPE', 2);
    assert.equal(await program.run(`vma list --compat --json ${join(VMA_FIXTURES, '01-basic.vma')}`), 2);
  });
});
