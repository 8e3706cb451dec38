import assert from 'node:assert/strict';
import { exitCodeOf, exitCodeOfAll } from './exit-codes.js';

describe('exit codes', () => {
  for (const [code, exitCode] of [
    ['VB_CLI_USAGE', 2],
    ['VB_CLI_CONFIGURATION', 2],
    ['VB_PLUGIN_OPTION', 2],
    ['VB_REPOSITORY_NOT_FOUND', 10],
    ['VB_BACKUP_NOT_FOUND', 10],
    ['VB_GUEST_NOT_FOUND', 10],
    ['VB_REPOSITORY_LOCKED', 11],
    ['VB_IMAGE_LOCKED', 11],
    ['VB_IMAGE_FORMAT', 2],
    ['VB_ACCESS_DENIED', 12],
    ['VB_XEN_AUTHENTICATION', 12],
    ['VB_XEN_CERTIFICATE_UNTRUSTED', 12],
    ['VB_CHAIN_BROKEN', 13],
    ['VB_INTERNAL', 70],
    ['VB_IO', 1],
    ['constructor', 1],
  ] as const) {
    it(`${code} ends with ${exitCode}`, () => assert.equal(exitCodeOf(code), exitCode));
  }

  it('of several pieces of work say whether all, some or none were done', () => {
    assert.deepEqual(
      [[], [0, 0], [0, 10], [10, 10], [10, 1]].map((codes) => exitCodeOfAll(codes)),
      [0, 0, 3, 10, 1],
    );
  });
});
