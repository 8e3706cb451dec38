import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makePrivateFolder } from './private-folder.js';

describe('makePrivateFolder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const madeWith = async (runtime: string | undefined): Promise<string> => {
    const made = await makePrivateFolder({ XDG_RUNTIME_DIR: runtime });
    try {
      assert.equal((await stat(made)).mode % 0o1000, 0o700);
    } finally {
      await rm(made, { recursive: true });
    }
    return dirname(made);
  };

  it('is in the folder of the session', async () => {
    assert.equal(await madeWith(folder), folder);
  });

  it('is among the temporary files where there is no session, or its folder is gone or none', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    for (const runtime of [undefined, '', 'relative', join(folder, 'gone'), file]) {
      assert.equal(await madeWith(runtime), tmpdir(), String(runtime));
    }
  });

  it('says what is missing where there are no temporary files', async () => {
    const before = process.env['TMPDIR'];
    process.env['TMPDIR'] = join(folder, 'gone');
    try {
      await assert.rejects(makePrivateFolder({}), { code: 'VB_IO', message: /gone: ENOENT$/, cure: /TMPDIR/ });
    } finally {
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
