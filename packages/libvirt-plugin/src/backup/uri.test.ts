import assert from 'node:assert/strict';
import { isRemote } from './uri.js';

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
