import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { QemuNbd } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { CommandFolder } from './testing/command-folder.js';

const MiB = 2 ** 20;

describe('restores of several disks into one folder', () => {
  let folder: CommandFolder;
  let files: readonly string[];

  beforeEach(async () => {
    folder = await CommandFolder.make();
    for (const name of ['one', 'two']) {
      await folder.file(`${name}.raw`, 3 * MiB, [{ offset: MiB, bytes: randomBytes(MiB) }]);
    }
    await folder.done('vma create a.vma -d one=one.raw -d two=two.raw');
    await folder.done('import vma a.vma -r repo');
    await folder.done('restore a.vma@latest out/ -r repo');
    files = readdirSync(folder.at('out')).sort();
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  const contents = (): readonly string[] =>
    files.map((name) => readFileSync(folder.at(join('out', name))).toString('latin1', 0, 5));

  it('replace all of them or none', async () => {
    for (const name of files) writeFileSync(folder.at(join('out', name)), 'later');
    const data = readdirSync(folder.at('repo'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      /two.*\.data$/.test(name),
    );
    assert.equal(data.length, 1, data.join());
    const path = folder.at(join('repo', data[0] ?? ''));
    const whole = readFileSync(path);
    writeFileSync(path, Buffer.concat([whole.subarray(0, 5000), Buffer.from('damage'), whole.subarray(5006)]));
    const { code } = await folder.run('restore a.vma@latest out/ -r repo --force');
    assert.notEqual(code, 0);
    assert.deepEqual(contents(), ['later', 'later']);
    assert.deepEqual(readdirSync(folder.at('out')).sort(), files);
    writeFileSync(path, whole);
    assert.match(await folder.done('restore a.vma@latest out/ -r repo --force'), /one.*\n.*two/);
    for (const [at, name] of ['one', 'two'].entries()) {
      const restored = readFileSync(folder.at(join('out', files[at] ?? '')));
      assert.ok(restored.equals(readFileSync(folder.at(`${name}.raw`))), name);
    }
  });

  it('write none where one is in the way', async () => {
    const [first = '', second = ''] = files;
    mkdirSync(folder.at('new'));
    writeFileSync(folder.at(join('new', second)), 'mine');
    const { code, err } = await folder.run('restore a.vma@latest new/ -r repo');
    assert.notEqual(code, 0);
    assert.match(err, new RegExp(`new/${second} exists \\[VB_TARGET_EXISTS\\]`));
    assert.equal(existsSync(folder.at(join('new', first))), false);
  });

  it('write none where a machine has one of those that are replaced', async function () {
    requireTools(this, ['qemu-img', 'qemu-nbd']);
    const path = folder.at(join('out', files[1] ?? ''));
    for (const name of files) {
      folder.tool('qemu-img', 'create', '-q', '-f', 'qcow2', folder.at(join('out', name)), '3M');
    }
    const before = contents();
    await using _machine = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });
    const { code, err } = await folder.run('restore a.vma@latest out/ -r repo --force');
    assert.notEqual(code, 0);
    assert.match(err, /\[VB_IMAGE_LOCKED\]/);
    assert.deepEqual(contents(), before);
  });
});
