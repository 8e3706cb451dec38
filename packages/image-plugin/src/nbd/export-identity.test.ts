import assert from 'node:assert/strict';
import { parseNbdUri } from '@vbackup/core';
import { identityOf } from './export-identity.js';

describe('the identity of an export', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['nbd://Host.example/vda', 'nbd://host.example/vda', 'vda'],
    ['nbds://host.example:10809/vda?tls-certificates=/pki', 'nbd://host.example/vda', 'vda'],
    ['nbds://alice@h:1234/?tls-psk-file=/keys', 'nbd://h:1234/', 'disk'],
    ['nbd://[2001:DB8::1]/x', 'nbd://[2001:db8::1]/x', 'x'],
    ['nbd+unix:///a%20b?socket=/run/../run/s', 'nbd+unix:///a%20b?socket=/run/s', 'a_b'],
    ['nbd://h//dev/vg/lv', 'nbd://h//dev/vg/lv', '_dev_vg_lv'],
  ];
  for (const [uri, id, disk] of cases) {
    it(`of ${uri} is ${id}`, () => {
      const identity = identityOf(parseNbdUri(uri));
      assert.deepEqual([identity.id, identity.diskName], [id, disk]);
    });
  }

  it('is short enough for the name of a folder', () => {
    const { id } = identityOf(parseNbdUri(`nbd://h/${'x'.repeat(4000)}`));
    assert.ok(encodeURIComponent(id).length < 200);
  });
});
