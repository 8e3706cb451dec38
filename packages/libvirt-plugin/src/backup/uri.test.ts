import assert from 'node:assert/strict';
import { hostOf, isRemote } from './uri.js';

describe('isRemote', () => {
  for (const [uri, remote] of [
    ['', false],
    ['qemu:///system', false],
    ['qemu:///session?socket=/run/user/0/s', false],
    ['qemu+unix:///system', false],
    ['qemu://host/system', true],
    ['qemu+ssh://root@host/system', true],
    ['qemu+SSH:///system', true],
    ['qemu+tls://127.0.0.1:16514/system?pkipath=/p', true],
    ['qemu+tcp:///system', true],
  ] as const) {
    it(`says ${remote} to ${JSON.stringify(uri)}`, () => assert.equal(isRemote(uri), remote));
  }
});

describe('hostOf', () => {
  for (const [uri, host] of [
    ['qemu:///system', null],
    ['qemu+ssh:///system', null],
    ['qemu+ssh://root@host:22/system', 'host'],
    ['qemu+tls://127.0.0.1:16514/system?pkipath=/p', '127.0.0.1'],
    ['qemu+tls://[fe80::1]:16514/system', 'fe80::1'],
    ['qemu+tls://user@[::1]/system', '::1'],
  ] as const) {
    it(`finds ${host} in ${uri}`, () => assert.equal(hostOf(uri), host));
  }
});
