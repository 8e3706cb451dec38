import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { attachLoopDevice, FILE_SYSTEM_KINDS, mountFileSystem } from './mounted-file-system.js';

const isMounted = (path: string): boolean => readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `);

describe('mountFileSystem', () => {
  for (const kind of [...FILE_SYSTEM_KINDS, 'ramfs'] as const) {
    it(`mounts ${kind}, and leaves nothing`, function () {
      const mounted = mountFileSystem(this, kind);
      try {
        assert.ok(isMounted(mounted.path));
        writeFileSync(join(mounted.path, 'file'), 'content');
      } finally {
        mounted[Symbol.dispose]();
      }
      assert.ok(!isMounted(mounted.path));
      assert.ok(!existsSync(dirname(mounted.path)));
    });
  }

  it('unmounts although a file is still open', function () {
    const mounted = mountFileSystem(this, 'ext4');
    const file = openSync(join(mounted.path, 'file'), 'w');
    try {
      mounted[Symbol.dispose]();
    } finally {
      closeSync(file);
    }
    assert.ok(!isMounted(mounted.path) && !existsSync(dirname(mounted.path)));
  });

  it('attaches a loop device, and detaches it', function () {
    const folder = mkdtempSync(join(tmpdir(), 'vbackup-loop-'));
    try {
      const file = join(folder, 'image');
      writeFileSync(file, Buffer.alloc(1024 * 1024, 'x'));
      const device = attachLoopDevice(this, file);
      assert.equal(readFileSync(device.path).length, 1024 * 1024);
      device[Symbol.dispose]();
      assert.ok(!execFileSync('losetup', ['--all']).toString().includes(file));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
