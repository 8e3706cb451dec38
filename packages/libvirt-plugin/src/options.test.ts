import assert from 'node:assert/strict';
import { parseOptions } from './options.js';

describe('the options of libvirt', () => {
  it('have defaults that touch nothing', () => {
    assert.deepEqual(parseOptions({}), {
      uri: '',
      user: undefined,
      password: undefined,
      exclude: [],
      freeze: null,
      pause: false,
      scratchFolder: '/var/tmp',
      socketFolder: '/var/tmp',
      nbd: { certificates: null, insecure: false, host: null, port: 10_809, listen: null },
      repair: null,
    });
  });

  for (const [values, freeze] of [
    [{ freeze: true }, []],
    [{ freeze: false }, null],
    [{ 'freeze-mountpoints': '/, /var,' }, ['/', '/var']],
    [{ 'freeze-mountpoints': '/', freeze: false }, null],
  ] as const) {
    it(`freeze ${JSON.stringify(freeze)} for ${JSON.stringify(values)}`, () => {
      assert.deepEqual(parseOptions(values).freeze, freeze);
    });
  }

  it('split a list at its commas', () => {
    assert.deepEqual(parseOptions({ exclude: 'vdb, vdc,,' }).exclude, ['vdb', 'vdc']);
  });

  for (const values of [
    { 'freeze-mountpoints': 'var' },
    { scratch: 'tmp' },
    { repair: 'forget-job' },
    { 'socket-folder': `/${'x'.repeat(40)}` },
    { pause: 'perhaps' },
    { 'nbd-port': 0 },
    { 'nbd-port': 65_536 },
    { 'nbd-host': '' },
    { 'nbd-insecure': true, 'nbd-tls-certificates': '/pki' },
  ]) {
    it(`refuse ${JSON.stringify(values)}`, () => {
      assert.throws(() => parseOptions(values), { code: 'VB_PLUGIN_OPTION' });
    });
  }
});
