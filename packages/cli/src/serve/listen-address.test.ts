import assert from 'node:assert/strict';
import { listenAddress } from './listen-address.js';

describe('listenAddress', () => {
  const good: readonly (readonly [text: string, host: string, port: number])[] = [
    ['127.0.0.1:10810', '127.0.0.1', 10_810],
    ['localhost', 'localhost', 10_809],
    ['[::1]:0', '::1', 0],
    ['[::]', '::', 10_809],
    [':10809', '', 10_809],
  ];
  for (const [text, host, port] of good) {
    it(`takes ${text}`, () => assert.deepEqual(listenAddress(text), { kind: 'tcp', host, port }));
  }
  for (const text of ['host:port', '::1', 'a:1:2', '127.0.0.1:65536', '[::1', '1.2.3.4:', '10809', '10809:1']) {
    it(`refuses ${text}`, () => assert.throws(() => listenAddress(text), { code: 'VB_CLI_USAGE' }));
  }
});
