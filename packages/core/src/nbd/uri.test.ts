import assert from 'node:assert/strict';
import { parseNbdUri } from './uri.js';

const tcp = (host: string, port = 10809) => ({ kind: 'tcp', host, port }) as const;
const unix = (path: string) => ({ kind: 'unix', path }) as const;

describe('parseNbdUri', () => {
  const good: readonly (readonly [string, object])[] = [
    ['nbd://example.com/disk', { address: tcp('example.com'), exportName: 'disk' }],
    ['nbd+unix:///disk?socket=sock', { address: unix('sock'), exportName: 'disk' }],
    ['nbd://example.com/', { address: tcp('example.com'), exportName: '' }],
    ['nbd://example.com', { address: tcp('example.com'), exportName: '' }],
    ['nbd://example.com//disk', { address: tcp('example.com'), exportName: '/disk' }],
    ['nbd://example.com/hello%20world', { address: tcp('example.com'), exportName: 'hello world' }],
    ['nbd://example.com/a/../b', { address: tcp('example.com'), exportName: 'a/../b' }],
    ['nbd://[2001:db8::1]:1234/x', { address: tcp('2001:db8::1', 1234), exportName: 'x' }],
    ['nbd://[fe80::1%25eth0]/', { address: tcp('fe80::1%eth0'), exportName: '' }],
    ['nbd:///x', { address: tcp('localhost'), exportName: 'x' }],
    ['NBD://h:/x', { address: tcp('h'), exportName: 'x' }],
    ['nbd+unix:///?socket=%00/abstract', { address: unix('\0/abstract'), exportName: '' }],
    ['nbd+unix:///a+b?socket=/tmp/a+b', { address: unix('/tmp/a+b'), exportName: 'a+b' }],
    [
      'nbds://h/x?tls-certificates=/pki&tls-hostname=other&tls-verify-peer=1',
      {
        address: tcp('h'),
        exportName: 'x',
        tls: { kind: 'x509', certificates: '/pki', hostname: 'other' },
      },
    ],
    [
      'nbds+unix://alice@/?socket=s&tls-psk-file=keys.psk',
      { address: unix('s'), exportName: '', tls: { kind: 'psk', file: 'keys.psk', username: 'alice' } },
    ],
    [
      'nbds://h',
      { address: tcp('h'), exportName: '', tls: { kind: 'x509', certificates: undefined, hostname: undefined } },
    ],
  ];

  for (const [text, expected] of good) {
    it(`reads ${text.replace('\0', '')}`, () => assert.deepEqual(parseNbdUri(text), expected));
  }

  const bad: readonly (readonly [string, RegExp])[] = [
    ['http://h/', /scheme/],
    ['nbd+vsock:///', /scheme/],
    ['disk.img', /scheme/],
    ['nbd:localhost:10809:exportname=disk', /scheme/],
    ['nbd:unix:/run/nbd.sock', /scheme/],
    ['nbd://h/#part', /fragment/],
    ['nbd://h:99999/', /no port/],
    ['nbd://[::1/', /authority/],
    ['nbd://u:secret@h/', /password/],
    ['nbd+unix:///x', /socket/],
    ['nbd+unix:///x?socket=', /socket/],
    ['nbd+unix://host/x?socket=s', /host/],
    ['nbd://h/?socket=s', /socket/],
    ['nbd+unix:///x?socket=s&socket=t', /twice/],
    ['nbd://h/?colour=red', /colour/],
    ['nbd://h/?x-trial=1', /x-trial/],
    ['nbd://h/?tls-hostname=h', /only nbds/],
    ['nbds://h/?tls-verify-peer=0', /without verification/],
    ['nbds://h/?tls-type=anon', /anon/],
    ['nbds://h/?tls-type=psk', /fit together/],
    ['nbds://h/?tls-psk-file=k&tls-certificates=d', /fit together/],
    ['nbd://h/%ff', /percent/],
  ];

  for (const [text, reason] of bad) {
    it(`refuses ${text}`, () => assert.throws(() => parseNbdUri(text), { code: 'VB_NBD_URI', message: reason }));
  }
});
