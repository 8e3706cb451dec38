import assert from 'node:assert/strict';
import type { OptionSpecification, PluginDescription } from '@vbackup/core';
import { checkForeignAliases, checkPluginFlags, unknownFlags } from './plugin-flags.js';
import { scan } from './scan.js';

const pluginOf = (name: string, options: Record<string, OptionSpecification>): PluginDescription => ({
  name,
  description: '',
  options,
});

const disk = pluginOf('disk', {
  bitmap: { type: 'string', description: 'which', alias: 'bitmap' },
  raw: { type: 'boolean', description: 'as it is', alias: 'raw' },
  level: { type: 'string', description: 'taken', alias: 'level' },
});

describe('unknownFlags', () => {
  const unknown = (line: string, used: readonly PluginDescription[] = [disk]): readonly string[] =>
    unknownFlags(scan(line.split(' ')), used);

  it('knows the flags of the grammar, of plugins and their short names, with and without no-', () => {
    assert.deepEqual(
      unknown('--json --no-color --level full --bitmap x --disk-bitmap x --raw --no-raw --no-disk-raw'),
      [],
    );
    assert.deepEqual(unknown('--bitmpa x --no-bitmap'), ['--bitmpa']);
    assert.deepEqual(unknown('--bitmap x --json', []), ['--bitmap']);
  });
});

describe('checkForeignAliases', () => {
  for (const flag of ['--bitmap', '--no-raw']) {
    it(`names the plugin whose option ${flag} is`, () => {
      assert.throws(() => checkForeignAliases([flag], scan([flag, '--hypervisor=xen']), [disk]), {
        code: 'VB_CLI_FOREIGN_OPTION',
        message: `${flag} is an option of disk, and the hypervisor is xen`,
      });
    });
  }

  it('leaves to the grammar what no plugin has, and what the command has itself', () => {
    checkForeignAliases(['--frob', '--level'], scan([]), [disk]);
  });
});

describe('checkPluginFlags', () => {
  it('takes both names of one option where they say the same', () => {
    for (const line of [
      '--bitmap a --disk-bitmap=a',
      '--raw --disk-raw',
      '--no-raw --no-disk-raw',
      '--level a --disk-level b',
    ]) {
      checkPluginFlags(scan(line.split(' ')), [disk], ['disk']);
    }
  });

  it('counts the last value that each name was given', () => {
    const check = (line: string): void => checkPluginFlags(scan(line.split(' ')), [disk], ['disk']);
    check('--bitmap a --bitmap b --disk-bitmap b');
    assert.throws(() => check('--bitmap b --bitmap a --disk-bitmap b'), { code: 'VB_CLI_USAGE' });
  });
});
