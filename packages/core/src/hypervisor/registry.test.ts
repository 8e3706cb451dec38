import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { container } from 'tsyringe';
import { UnsupportedError } from '../errors/index.js';
import type { HypervisorPlugin } from './hypervisor.js';
import { parseOptions } from './option-values.js';
import type { OptionSchema } from './options.js';
import { loadPlugin, registeredPlugins, registerPlugin } from './registry.js';

const pluginNamed = (name: string, options: OptionSchema = {}): HypervisorPlugin => ({
  name,
  description: 'a plugin of the tests',
  options,
  register: () => {},
  connect: () => Promise.reject(new UnsupportedError('VB_UNSUPPORTED', 'only a test')),
});

const source = (name: string): string =>
  `export const plugin = { name: '${name}', description: '', options: {}, register() {}, connect() {} };`;

describe('registerPlugin', () => {
  it('makes a plugin known by its name and lets it register its parts', () => {
    const own = container.createChildContainer();
    let parts = 0;
    const plugin = { ...pluginNamed('test'), register: () => void parts++ };
    registerPlugin(plugin, own);
    assert.deepEqual(registeredPlugins(own), [plugin]);
    assert.equal(parts, 1);
  });

  it('refuses a second plugin of the same name', () => {
    const own = container.createChildContainer();
    registerPlugin(pluginNamed('test'), own);
    assert.throws(() => registerPlugin(pluginNamed('test'), own), { code: 'VB_PLUGIN_INVALID' });
  });

  for (const [fault, plugin] of [
    ['an upper-case name', pluginNamed('Xen')],
    ['an option that is no kebab-case', pluginNamed('test', { fooBar: { type: 'string', description: '' } })],
    ['an alias that is no flag', pluginNamed('test', { foo: { type: 'string', description: '', alias: '--foo' } })],
  ] as const) {
    it(`refuses ${fault}`, () => {
      assert.throws(() => registerPlugin(plugin, container.createChildContainer()), { code: 'VB_PLUGIN_INVALID' });
    });
  }
});

describe('loadPlugin', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-plugins-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('loads a built-in one only when it is named', async () => {
    const own = container.createChildContainer();
    const builtIn = { one: async () => pluginNamed('one'), two: () => Promise.reject(new Error('was loaded')) };
    assert.equal((await loadPlugin('one', { builtIn }, own)).name, 'one');
    assert.equal(await loadPlugin('one', {}, own), registeredPlugins(own)[0]);
  });

  it('loads a path of the configuration, relative to the given folder', async () => {
    await writeFile(join(folder, 'mine.mjs'), source('mine'));
    const plugin = await loadPlugin(
      'mine',
      { paths: { mine: './mine.mjs' }, from: folder },
      container.createChildContainer(),
    );
    assert.equal(plugin.name, 'mine');
  });

  it('loads the installed package vbackup-plugin-<name>', async () => {
    const home = join(folder, 'node_modules', 'vbackup-plugin-packed');
    await mkdir(home, { recursive: true });
    await writeFile(
      join(home, 'package.json'),
      '{"name":"vbackup-plugin-packed","type":"module","exports":"./index.js"}',
    );
    await writeFile(join(home, 'index.js'), source('packed'));
    assert.equal((await loadPlugin('packed', { from: folder }, container.createChildContainer())).name, 'packed');
  });

  it('says which plugins there are when the name is unknown', async () => {
    await assert.rejects(loadPlugin('xne', { builtIn: { xen: async () => pluginNamed('xen') }, from: folder }), {
      code: 'VB_PLUGIN_NOT_FOUND',
      cure: /known are: xen;/,
    });
  });

  it('never takes a name for a path or a property of an object', async () => {
    for (const name of ['../mine', 'constructor', '__proto__', '']) {
      await assert.rejects(loadPlugin(name, { builtIn: {}, paths: {}, from: folder }), { code: 'VB_PLUGIN_NOT_FOUND' });
    }
  });

  it('refuses a module that exports something else, or another name', async () => {
    await writeFile(join(folder, 'none.mjs'), 'export const x = 1;');
    await writeFile(join(folder, 'other.mjs'), source('other'));
    await writeFile(join(folder, 'broken.mjs'), 'export const plugin = ;');
    for (const file of ['none', 'other', 'broken', 'absent']) {
      const sources = { paths: { mine: `./${file}.mjs` }, from: folder };
      await assert.rejects(loadPlugin('mine', sources, container.createChildContainer()), {
        code: 'VB_PLUGIN_INVALID',
      });
    }
  });
});

describe('parseOptions', () => {
  const plugin = pluginNamed('test', {
    url: { type: 'string', description: '', required: true },
    port: { type: 'number', description: '' },
    fast: { type: 'boolean', description: '' },
    password: { type: 'string', description: '', secret: true },
  });

  it('takes text as the environment gives it and values as a program does', () => {
    const values = { url: 'x', port: 80, fast: true };
    assert.deepEqual(parseOptions(plugin, { url: 'x', port: '80', fast: 'true' }), values);
    assert.deepEqual(parseOptions(plugin, values), values);
  });

  for (const [fault, raw] of [
    ['a missing option', {}],
    ['an unknown option', { url: 'x', ulr: 'y' }],
    ['an empty text', { url: '' }],
    ['a number that is none', { url: 'x', port: 'many' }],
    ['a boolean that is none', { url: 'x', fast: 'yes please' }],
  ] as const) {
    it(`refuses ${fault}`, () => {
      assert.throws(() => parseOptions(plugin, raw), { code: 'VB_PLUGIN_OPTION' });
    });
  }

  it('never shows a secret', () => {
    assert.throws(
      () => parseOptions(plugin, { url: 'x', password: 12345 }),
      (error: Error) => !error.message.includes('12345'),
    );
  });
});
