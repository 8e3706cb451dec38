import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestWorld } from '../testing/test-world.js';
import { findSecret } from './secrets.js';

describe('findSecret', () => {
  let folder = '';
  let world = new TestWorld();
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-secrets-'));
    await writeFile(join(folder, 'secret'), 'from a file\n');
    await writeFile(join(folder, 'xen-password'), 'a credential\r\n');
    world = new TestWorld();
    world.cwd = folder;
  });
  afterEach(() => rm(folder, { recursive: true }));

  const { signal } = new AbortController();
  const find = (more: { file?: string; command?: string } = {}): Promise<string | undefined> =>
    findSecret(world, { plugin: 'xen', option: 'password', signal, ...more });

  for (const [what, env, expected] of [
    ['a variable', { VBACKUP_XEN_PASSWORD: 'plain' }, 'plain'],
    ['a file', { VBACKUP_XEN_PASSWORD_FILE: 'secret' }, 'from a file'],
    ['a command', { VBACKUP_XEN_PASSWORD_COMMAND: 'printf "two words"; echo' }, 'two words'],
    ['the variable first', { VBACKUP_XEN_PASSWORD: 'plain', VBACKUP_XEN_PASSWORD_FILE: '/nowhere' }, 'plain'],
    ['nothing', {}, undefined],
  ] as const) {
    it(`takes ${what}`, async () => {
      Object.assign(world.env, env);
      assert.equal(await find(), expected);
    });
  }

  it('takes a file descriptor', async () => {
    world.env['VBACKUP_XEN_PASSWORD_FD'] = String(openSync(join(folder, 'secret'), 'r'));
    assert.equal(await find(), 'from a file');
  });

  it('takes a systemd credential, and does without one', async () => {
    world.env['CREDENTIALS_DIRECTORY'] = folder;
    assert.equal(await find(), 'a credential');
    await rm(join(folder, 'xen-password'));
    assert.equal(await find({ file: join(folder, 'secret') }), 'from a file');
    assert.equal(await find({ command: 'echo configured' }), 'configured');
  });

  for (const [fault, env] of [
    ['a file that is not there', { VBACKUP_XEN_PASSWORD_FILE: 'nowhere' }],
    ['an empty file', { VBACKUP_XEN_PASSWORD_FILE: '/dev/null' }],
    ['a file without an end', { VBACKUP_XEN_PASSWORD_FILE: '/dev/zero' }],
    ['a command that fails', { VBACKUP_XEN_PASSWORD_COMMAND: 'echo hidden; exit 3' }],
    ['a command that says nothing', { VBACKUP_XEN_PASSWORD_COMMAND: 'true' }],
    ['a descriptor that is no number', { VBACKUP_XEN_PASSWORD_FD: 'x' }],
    ['a descriptor that is not open', { VBACKUP_XEN_PASSWORD_FD: '999' }],
  ] as const) {
    it(`refuses ${fault}, and shows nothing of it`, async () => {
      Object.assign(world.env, env);
      await assert.rejects(find(), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'VB_CLI_SECRET');
        assert.doesNotMatch(error.message.replace(/from the command:.*|: echo.*/, ''), /hidden/);
        return true;
      });
    });
  }
});
