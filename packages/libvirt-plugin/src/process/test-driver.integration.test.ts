import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { openLibvirt } from './index.js';

// libvirt.so.0 has a driver for tests in it (test:///), which needs no daemon: for what a real one cannot show.
describe("libvirt's library", () => {
  let folder: string;

  before(async function () {
    // virsh stands for the library that it brings along.
    requireTools(this, ['virsh']);
    folder = await mkdtemp(join(tmpdir(), 'vb-libvirt-'));
  });

  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it('gives back everything that 20,000 calls took, after as many to get warm', async function () {
    this.timeout(300_000);
    const script = fileURLToPath(new URL('../testing/leak-child.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, '20000']);
    const { disposed, ownedTexts, references, pending, growth } = JSON.parse(stdout);
    assert.equal(disposed, ownedTexts, 'strings that libvirt made were freed');
    assert.equal(references, 0, 'every domain and checkpoint refers to the connection until it is freed');
    assert.equal(pending, 0, 'handles and timers of the event loop were given back');
    // Calls that kept 1 KiB each (koffi's types, when arrays were decoded with them) were found by this.
    assert.ok(growth < 8 * 1024 * 1024, `20,000 calls left ${growth} bytes`);
  });

  describe('asked by a daemon for a user and a password', () => {
    let uri: string;
    before(async () => {
      const file = join(folder, 'node.xml');
      await writeFile(
        file,
        "<node><auth><user password='right'>alice</user></auth><domain type='test'><name>one</name>\
<memory>1024</memory><os><type>hvm</type></os></domain></node>",
      );
      uri = `test://${file}`;
    });

    it('gives them', async () => {
      await using libvirt = await openLibvirt({ uri, user: 'alice', password: 'right' });
      assert.deepEqual(
        (await libvirt.listDomains()).map(({ name }) => name),
        ['one'],
      );
    });

    for (const [what, credentials] of [
      ['a wrong password', { user: 'alice', password: 'wrong' }],
      ['an unknown user', { user: 'bob', password: 'right' }],
      ['no password', { user: 'alice' }],
      ['nothing', {}],
    ] as const) {
      it(`is refused with ${what}`, () =>
        assert.rejects(openLibvirt({ uri, ...credentials }), { code: 'VB_LIBVIRT_AUTHENTICATION' }));
    }
  });

  for (const [what, library] of [
    ['that is not there', '/nonexistent/libvirt.so.0'],
    ['that is another one', 'libc.so.6'],
  ] as const) {
    it(`says how to install it, instead of one ${what}`, () =>
      assert.rejects(openLibvirt({ uri: 'test:///default', library }), {
        code: 'VB_LIBVIRT_LIBRARY_MISSING',
        cure: /apt install libvirt0/,
      }));
  }
});
