import assert from 'node:assert/strict';
import { parseNbdUri } from '../nbd/uri.js';
import { exportUri } from './export-uri.js';

describe('exportUri', () => {
  const names = ['vda', 'web/vda@41', 'a b?c#d%', '/abs/x', 'Ü'];
  for (const name of names) {
    it(`is read back as ${name}`, () => {
      const unix = { kind: 'unix', path: '/run/a b&c/nbd.sock' } as const;
      const parsed = parseNbdUri(exportUri(unix, name, { secure: false }));
      assert.deepEqual([parsed.address, parsed.exportName, parsed.tls], [unix, name, undefined]);
      for (const host of ['127.0.0.1', '::1', 'host']) {
        const tcp = { kind: 'tcp', host, port: 10_809 } as const;
        const secure = parseNbdUri(exportUri(tcp, name, { secure: true }));
        assert.deepEqual([secure.address, secure.exportName], [tcp, name]);
        assert.ok(secure.tls !== undefined);
      }
    });
  }

  it('names a host also where the server listens on all addresses', () => {
    const all = { kind: 'tcp', host: '', port: 10_810 } as const;
    assert.equal(exportUri(all, 'vda', { secure: false }), 'nbd://localhost:10810/vda');
  });
});
