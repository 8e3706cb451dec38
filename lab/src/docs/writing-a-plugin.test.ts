import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { utimesSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { findBackup, openFileTarget, openRepository, runRestore, type WorkEvent } from '@vbackup/core';
import { command } from '../command/command.js';

const PAGE = fileURLToPath(new URL('../../../docs/writing-a-plugin.md', import.meta.url));
const MiB = 1024 * 1024;

/** The pieces of code on the page, by the file name that stands beside their language. */
async function filesOnThePage(): Promise<Map<string, string>> {
  const page = await readFile(PAGE, 'utf8');
  const blocks = page.matchAll(/^```\w+ file=(\S+)\n([^]*?)^```$/gm);
  return new Map([...blocks].map(([, name = '', code = '']) => [name, code]));
}

describe('docs/writing-a-plugin.md', () => {
  let folder = '';
  let images = '';
  let image: Buffer;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-plugin-page-'));
    images = join(folder, 'images');
    image = Buffer.concat([randomBytes(3 * MiB), Buffer.alloc(5 * MiB), randomBytes(100_000)]);
    await mkdir(images);
    await writeFile(join(images, 'web01.raw'), image);
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** The plugin of the page as an installed package, far from this workspace. */
  async function installPlugin(): Promise<string> {
    const files = await filesOnThePage();
    const home = join(folder, 'node_modules', 'vbackup-plugin-images');
    await mkdir(home, { recursive: true });
    for (const name of ['package.json', 'index.js']) await writeFile(join(home, name), files.get(name) ?? '');
    return join(home, 'index.js');
  }

  /** The program of the page, where it finds @vbackup/core. */
  async function loadProgram(): Promise<{ readonly backUp: (options: object) => Promise<{ readonly id: string }> }> {
    const here = dirname(fileURLToPath(import.meta.url));
    const path = join(here, `program-${process.pid}-${Date.now()}.mjs`);
    await writeFile(path, (await filesOnThePage()).get('program.mjs') ?? '');
    try {
      return await import(pathToFileURL(path).href);
    } finally {
      await rm(path);
    }
  }

  it('holds a plugin that the command loads from a configured path, and backs up and restores with', async () => {
    const plugin = await installPlugin();
    const configuration = join(folder, 'config.toml');
    await writeFile(configuration, `repository = "${folder}/repository"\n[plugins]\nimages = "${plugin}"\n`);
    const run = async (...args: string[]) => {
      const outcome = await command([...args, '--config', configuration], { environment: {} });
      assert.equal(outcome.code, 0, outcome.stderr);
      return outcome;
    };
    await run('--hypervisor', 'images', '--images-directory', images, 'web01');
    await run('verify');
    await run('restore', 'web01@latest', join(folder, 'restored.raw'));
    assert.ok(image.equals(await readFile(join(folder, 'restored.raw'))));

    image.fill(0, MiB, MiB + 10);
    await writeFile(join(images, 'web01.raw'), image);
    const audit = ['--audit', '1/30'];
    const second = await run(
      '--hypervisor',
      'images',
      '--images-directory',
      images,
      'web01',
      '--level',
      'inc',
      ...audit,
    );
    assert.match(second.stdout, / inc of web01: 8\.1 MiB, 64\.0 KiB data, /);
    assert.match((await run('info', 'web01@latest')).stdout, /changes found by digests/);
    await run('restore', 'web01@latest', join(folder, 'second.raw'));
    assert.ok(image.equals(await readFile(join(folder, 'second.raw'))));

    const absent = [
      '--hypervisor',
      'images',
      '--images-directory',
      images,
      '../images/web01',
      '--config',
      configuration,
    ];
    assert.equal((await command(absent, { environment: {} })).code, 10);
  });

  it('holds a program that registers a plugin, runs a backup and receives typed events', async () => {
    const { plugin } = await import(pathToFileURL(await installPlugin()).href);
    const { backUp } = await loadProgram();
    const events: WorkEvent[] = [];
    const repositoryFolder = join(folder, 'repository');
    const onEvent = (event: WorkEvent): void => void events.push(event);
    const { id } = await backUp({
      plugin,
      options: { directory: images },
      selector: 'web01',
      folder: repositoryFolder,
      onEvent,
    });
    assert.deepEqual(
      events.map(({ type }) => type).filter((type) => type !== 'progress'),
      ['start', 'disk-start', 'disk-done'],
    );
    const repository = await openRepository(repositoryFolder);
    const { manifest } = findBackup(await repository.catalogue(), id);
    const openTarget = openFileTarget(join(folder, 'restored.raw'));
    await runRestore({ repository, manifest, disk: 'disk', openTarget });
    assert.ok(image.equals(await readFile(join(folder, 'restored.raw'))));
  });

  it('holds a plugin that notices what is written while it reads, and then leaves nothing', async () => {
    const { plugin } = await import(pathToFileURL(await installPlugin()).href);
    const { backUp } = await loadProgram();
    const path = join(images, 'web01.raw');
    const onEvent = ({ type }: WorkEvent): void => {
      if (type === 'disk-done') utimesSync(path, new Date(), new Date(0));
    };
    const options = { plugin: { ...plugin, name: 'images-3' }, options: { directory: images }, selector: 'web01' };
    const repository = join(folder, 'repository');
    await assert.rejects(backUp({ ...options, folder: repository, onEvent }), { code: 'VB_FILE_CHANGED' });
    assert.deepEqual((await (await openRepository(repository)).catalogue()).backups, []);
  });

  it('holds a program that can be aborted, and then leaves nothing', async () => {
    const { plugin } = await import(pathToFileURL(await installPlugin()).href);
    const abort = new AbortController();
    const { backUp } = await loadProgram();
    const repositoryFolder = join(folder, 'repository');
    const onEvent = ({ type }: WorkEvent): void => {
      if (type === 'disk-start') abort.abort();
    };
    const options = { plugin: { ...plugin, name: 'images-2' }, options: { directory: images }, selector: 'web01' };
    await assert.rejects(backUp({ ...options, folder: repositoryFolder, signal: abort.signal, onEvent }));
    assert.deepEqual((await (await openRepository(repositoryFolder)).catalogue()).backups, []);
    const left = await readdir(repositoryFolder, { recursive: true });
    assert.deepEqual(
      left.filter((path) => path.endsWith('.data') || path.endsWith('.partial')),
      [],
    );
  });
});
