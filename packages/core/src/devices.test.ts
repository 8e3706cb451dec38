import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

/** Prints the address of every module that an entry loads. */
const SCRIPT = `
import { registerHooks } from 'node:module';
registerHooks({
  load(url, context, next) {
    console.log(url);
    return next(url, context);
  },
});
await import(process.argv[1]);
`;

const loadedBy = (entry: string): readonly string[] =>
  execFileSync(process.execPath, ['--input-type=module', '--eval', SCRIPT, new URL(entry, import.meta.url).href], {
    encoding: 'utf8',
  })
    .trim()
    .split('\n');

describe('the entry for devices', () => {
  it('loads no package, and a fraction of what the main entry loads', () => {
    const devices = loadedBy('./devices.js');
    assert.ok(devices.some((url) => url.endsWith('/copy-device.js')));
    assert.deepEqual(
      devices.filter((url) => url.includes('/node_modules/')),
      [],
    );
    const all = loadedBy('./index.js');
    assert.ok(all.some((url) => url.includes('/node_modules/valibot/')));
    assert.ok(devices.length * 2 < all.length, `${devices.length} of ${all.length}`);
  });

  it('loads for an NBD export neither what maps files nor TLS, which takes longer than the client', () => {
    const loaded = loadedBy('./nbd/device.js');
    assert.ok(loaded.some((url) => url.endsWith('/nbd/client.js')));
    assert.deepEqual(
      loaded.filter((url) => /\/filemap\/|\/nbd\/server\/|^node:(tls|crypto|child_process)$/.test(url)),
      [],
    );
  });

  it('loads for a backup neither archives nor what reads them', () => {
    const loaded = loadedBy('./backup/run-backup.js');
    assert.ok(loaded.some((url) => url.endsWith('/copy-disk.js')));
    assert.deepEqual(
      loaded.filter((url) => /\/vma\/|\/backup\/archive\//.test(url)),
      [],
    );
  });
});
