import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { requireTools } from '@vbackup/core/testing';

const BENCH = fileURLToPath(new URL('./main.js', import.meta.url));
const TOOLS = ['nbdkit', 'qemu-nbd', 'qemu-img', 'nbdcopy', 'virtnbdbackup', 'virtnbdrestore', 'filefrag', 'xfs_io'];

describe('npm run bench', function () {
  this.timeout(300_000);
  let folder: string;

  before(function () {
    requireTools(this, TOOLS);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-bench-test-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const start = (words: readonly string[], environment: NodeJS.ProcessEnv = {}) => {
    const child = spawn(process.execPath, [BENCH, ...words], {
      env: { ...process.env, ...environment, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (text += chunk));
    return { child, closed: once(child, 'close'), text: () => text };
  };

  it('finds that every contender of every row made what it should, and leaves nothing behind', async () => {
    const { closed, text } = start(['--quick']);
    const [code] = await closed;
    assert.equal(code, 0, text());
    const right = text().match(/^.+: right$/gm) ?? [];
    assert.ok(right.length >= 20, text());
    assert.deepEqual(await readdir(folder), []);
  });

  it('says what is missing, ends with 1, and runs what needs nothing of it', async () => {
    const programs = await mkdtemp(join(tmpdir(), 'vbackup-bench-programs-'));
    await symlink('/usr/bin/setpriv', join(programs, 'setpriv'));
    const { closed, text } = start(['--quick', '--only', 'latency,start'], { PATH: programs });
    const [code] = await closed;
    await rm(programs, { recursive: true });
    assert.equal(code, 1, text());
    assert.match(text(), /nbdkit is not installed/);
    assert.match(text(), /^vbackup --version: right$/m);
    assert.match(text().trimEnd().split('\n').at(-1) ?? '', /^FAILED: latency: nbdkit /);
    assert.deepEqual(await readdir(folder), []);
  });

  it('takes its servers and its folder with it when it is told to end', async () => {
    const { child, closed, text } = start(['--quick', '--only', 'latency']);
    const pids = await pidFiles(folder, () => child.exitCode === null);
    assert.notDeepEqual(pids, [], text());
    child.kill('SIGTERM');
    assert.deepEqual(await closed, [143, null], text());
    assert.deepEqual(await readdir(folder), []);
    const signal = AbortSignal.timeout(10_000);
    while (pids.some((pid) => existsSync(`/proc/${pid}`))) await delay(10, undefined, { signal });
  });
});

/** The servers that run, as soon as there are any. */
async function pidFiles(folder: string, isRunning: () => boolean): Promise<readonly string[]> {
  while (isRunning()) {
    const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.pid'));
    const pids = await Promise.all(names.map(async (name) => (await readFile(join(folder, name), 'utf8')).trim()));
    if (pids.some((pid) => pid !== '')) return pids.filter((pid) => pid !== '');
    await delay(5);
  }
  return [];
}
