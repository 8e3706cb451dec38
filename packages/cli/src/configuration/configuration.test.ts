import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestWorld } from '../testing/test-world.js';
import { loadConfiguration } from './configuration.js';
import { parseConfiguration } from './parse-configuration.js';
import { repositoryPath } from './paths.js';

describe('parseConfiguration', () => {
  it('reads settings, plugins and their tables, paths relative to the file', () => {
    const source =
      'repository = "backups"\ncompress = "none"\naudit = "1/30"\n[plugins]\nmine = "./m.mjs"\n[mine]\nx = 1\n[libvirt]\nuri = "u"';
    const { path, ...rest } = parseConfiguration(source, '/etc/vbackup/config.toml');
    assert.equal(path, '/etc/vbackup/config.toml');
    assert.deepEqual(rest, {
      folder: '/etc/vbackup',
      repository: '/etc/vbackup/backups',
      compress: 'none',
      audit: 30,
      plugins: { mine: './m.mjs' },
      tables: { mine: { x: 1 }, libvirt: { uri: 'u' } },
    });
  });

  for (const [fault, source, message] of [
    ['a key that is not known', '\nrepositroy = "x"', /c\.toml:2: repositroy is not known/],
    ['a table that belongs to no plugin', 'compress = "lz4"\n[xne]\nurl = "x"', /c\.toml:2: xne is not known/],
    ['what is not TOML', 'repository = \n', /c\.toml:1:\d+: /],
    ['a key that is there twice', 'compress = "lz4"\ncompress = "lz4"', /c\.toml:2:/],
    ['a value of another type', 'connections = "many"', /c\.toml:1: connections: /],
    ['a value out of range', 'connections = 99', /c\.toml:1: connections: /],
    ['an audit that is no share', 'audit = "30"', /c\.toml:1: audit: it is 1\/n, n from 1 to 1000/],
    ['an audit that is a number', 'audit = 30', /c\.toml:1: audit: /],
    ['another compression', 'compress = "zip"', /c\.toml:1: compress: /],
    ['a plugin’s table with a list in it', '[libvirt]\nuri = ["x"]', /c\.toml:2: libvirt\.uri: /],
    ['plugins that are no table', 'plugins = 3', /c\.toml:1: plugins: /],
    ['a plugin without a path', '[plugins]\nmine = ""', /c\.toml:2: plugins\.mine: /],
    ['plugins in a list', 'plugins = []', /c\.toml:1: plugins: expected Object/],
    ['a key that every object has', '[libvirt]\nconstructor = "x"', /c\.toml:2: libvirt\.constructor is not known/],
    ['a plugin of such a name', '[plugins]\nprototype = "./m.mjs"', /c\.toml:2: plugins\.prototype is not known/],
    ['settings by way of a prototype', '[__proto__]\nrepository = "x"', /c\.toml:1: __proto__ is not known/],
    ['a plugin whose name is none', '[plugins]\n"../x" = "y"', /plugins/],
  ] as const) {
    it(`refuses ${fault}, and says where`, () => {
      assert.throws(() => parseConfiguration(source, '/c.toml'), { code: 'VB_CLI_CONFIGURATION', message });
    });
  }
});

describe('loadConfiguration', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-configuration-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('takes the flag before $VBACKUP_CONFIG before the fixed place', async () => {
    const world = new TestWorld();
    world.cwd = folder;
    world.env['XDG_CONFIG_HOME'] = folder;
    assert.equal((await loadConfiguration(world, undefined)).path, undefined);
    await writeFile(join(folder, 'a.toml'), 'connections = 1');
    await writeFile(join(folder, 'b.toml'), 'connections = 2');
    world.env['VBACKUP_CONFIG'] = 'b.toml';
    assert.equal((await loadConfiguration(world, 'a.toml')).connections, 1);
    assert.equal((await loadConfiguration(world, undefined)).connections, 2);
  });

  it('may be missing in the fixed place only', async () => {
    const world = new TestWorld();
    await assert.rejects(loadConfiguration(world, '/nowhere.toml'), { code: 'VB_CLI_CONFIGURATION' });
    await assert.rejects(loadConfiguration(world, folder), { code: 'VB_CLI_CONFIGURATION' });
  });
});

describe('repositoryPath', () => {
  it('is the flag, else VBACKUP_REPOSITORY, else the configuration, else the place for data', () => {
    const world = new TestWorld();
    world.cwd = '/work';
    assert.equal(repositoryPath(world, undefined, undefined), '/home/someone/.local/share/vbackup');
    world.env['XDG_DATA_HOME'] = 'relative/is/ignored';
    assert.equal(repositoryPath(world, undefined, undefined), '/home/someone/.local/share/vbackup');
    world.env['XDG_DATA_HOME'] = '/data';
    assert.equal(repositoryPath(world, undefined, undefined), '/data/vbackup');
    world.root = true;
    assert.equal(repositoryPath(world, undefined, undefined), '/var/lib/vbackup');
    assert.equal(repositoryPath(world, undefined, '/configured'), '/configured');
    world.env['VBACKUP_REPOSITORY'] = '/variable';
    assert.equal(repositoryPath(world, undefined, '/configured'), '/variable');
    assert.equal(repositoryPath(world, 'flag', '/configured'), '/work/flag');
  });
});
