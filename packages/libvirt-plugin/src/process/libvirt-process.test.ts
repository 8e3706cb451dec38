import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { LibvirtConnection, OpenLibvirtOptions } from '../connection/index.js';
import { openLibvirt } from './index.js';

const module = new URL('../testing/scripted-child.js', import.meta.url);
const open = (script: string, options: Partial<OpenLibvirtOptions> = {}): Promise<LibvirtConnection> =>
  openLibvirt({ uri: script, module, ...options });

describe('the process that speaks to libvirt', function () {
  this.timeout(60_000);

  for (const [script, code, message] of [
    ['hang', 'VB_LIBVIRT_CALL_TIMEOUT', /^libvirt did not answer host within 300 ms$/],
    [
      'crash',
      'VB_LIBVIRT_CRASHED',
      /during host \(killed by SIGSEGV\); it said: free\(\): invalid pointer; second line$/,
    ],
    ['exit', 'VB_LIBVIRT_CRASHED', /during host \(exit code 3\)$/],
    ['garbage', 'VB_LIBVIRT_PROTOCOL', /a message of another shape$/],
    ['wrong shape', 'VB_LIBVIRT_PROTOCOL', /an answer to host of another shape$/],
    ['wrong id', 'VB_LIBVIRT_PROTOCOL', /an answer to call 3, which nobody waits for$/],
    ['unknown event', 'VB_LIBVIRT_PROTOCOL', /a message of another shape$/],
    ['lost', 'VB_LIBVIRT_CLOSED', /the daemon did not answer any more/],
  ] as const) {
    it(`ends the connection when it does this: ${script}`, async () => {
      await using libvirt = await open(script);
      const timeoutMs = script === 'hang' ? 300 : 30_000;
      const first = assert.rejects(libvirt.host({ timeoutMs }), { code, message });
      const waiting = assert.rejects(libvirt.listDomains(), { code });
      await Promise.all([first, waiting]);
      assert.equal(libvirt.lost.aborted, true);
      await assert.rejects(libvirt.host(), libvirt.lost.reason);
    });
  }

  it('ends the connection when libvirt says that it is gone, with what it said last', async () => {
    await using libvirt = await open('refuses and is gone');
    await assert.rejects(libvirt.host(), { name: 'LibvirtError', libvirtCode: 38, libvirtDomain: 7 });
    assert.equal(libvirt.lost.reason.code, 'VB_LIBVIRT_CLOSED');
    await assert.rejects(libvirt.listDomains(), { code: 'VB_LIBVIRT_CLOSED' });
  });

  it('stays when a single call fails', async () => {
    await using libvirt = await open('internal');
    await assert.rejects(libvirt.host(), { code: 'VB_INTERNAL', message: 'a bug' });
    assert.equal(libvirt.lost.aborted, false);
    assert.match(await libvirt.domainCapabilities(), /PATH/);
  });

  it('is told when it ends before it is open', () =>
    assert.rejects(open('crash at open'), { code: 'VB_LIBVIRT_CRASHED', message: /during open/ }));

  it('is told when it cannot be started', () =>
    assert.rejects(openLibvirt({ uri: '', module: new URL('nothing.js', module) }), { code: 'VB_LIBVIRT_CRASHED' }));

  it('gets none of our secrets by its environment', async () => {
    process.env['VBACKUP_LIBVIRT_PASSWORD'] = 'secret';
    try {
      await using libvirt = await open('internal');
      const names = (await libvirt.domainCapabilities()).split(' ');
      assert.deepEqual(
        names.filter((name) => name.startsWith('VBACKUP_')),
        [],
      );
    } finally {
      delete process.env['VBACKUP_LIBVIRT_PASSWORD'];
    }
  });

  it('makes no call whose signal was aborted before its turn', async () => {
    await using libvirt = await open('hang');
    const stop = new AbortController();
    const hanging = libvirt.host({ signal: stop.signal });
    const waiting = libvirt.host({ signal: stop.signal, timeoutMs: 1 });
    stop.abort();
    await assert.rejects(hanging, { name: 'AbortError' });
    await assert.rejects(waiting, { name: 'AbortError' });
    await assert.rejects(libvirt.host({ signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.equal(libvirt.lost.aborted, false);
  });

  it('is gone when the connection is closed, even if it hangs', async () => {
    const libvirt = await open('hang');
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
    const pid = children.at(-1);
    assert.ok(existsSync(`/proc/${pid}/exe`));
    const lost = once(libvirt.lost, 'abort');
    const hanging = assert.rejects(libvirt.host(), { code: 'VB_LIBVIRT_CLOSED' });
    await libvirt[Symbol.asyncDispose]();
    await lost;
    await hanging;
    assert.equal(existsSync(`/proc/${pid}`), false);
  });
});
