import assert from 'node:assert/strict';
import type { NbdServerTls } from '../nbd/server/server-options.js';
import { checkExposure } from './exposure.js';

describe('checkExposure', () => {
  const psk: NbdServerTls = { kind: 'psk', keys: new Map([['alice', Buffer.alloc(32)]]) };
  const x509 = { kind: 'x509', certificate: '', key: '' } as const;
  const tcp = (host: string) => ({ kind: 'tcp', host, port: 0 }) as const;

  it('lets anyone listen on a unix socket and on loopback', () => {
    checkExposure({ kind: 'unix', path: '/run/nbd.sock' }, undefined);
    for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) checkExposure(tcp(host), undefined);
  });

  it('lets a server listen anywhere that knows its clients', () => {
    checkExposure(tcp('0.0.0.0'), psk);
    checkExposure(tcp(''), { ...x509, ca: '', requireClientCertificate: true });
  });

  it('refuses everything else, encrypted or not', () => {
    for (const host of ['', '0.0.0.0', '::', '192.168.1.1', 'backup.example.org', '127.0.0.1.example.org', '::2']) {
      for (const tls of [undefined, x509, { ...x509, ca: '', requireClientCertificate: false }]) {
        assert.throws(() => checkExposure(tcp(host), tls), { code: 'VB_SERVE_EXPOSED' }, host);
      }
    }
  });
});
