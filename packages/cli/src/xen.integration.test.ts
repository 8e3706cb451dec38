import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NbdServer } from '@vbackup/core';
import { MemoryExport } from '@vbackup/core/testing';
import { parseJsonLines } from './testing/json-promise.js';
import { idOf, MIB, XenFixture } from './testing/xen-fixture.js';

const NOTHING = { bases: [], snapshots: [], machineSnapshots: [], exports: [], tasks: [] };

describe('vbackup against a XenAPI host', function () {
  this.timeout(60_000);
  let xen: XenFixture;
  beforeEach(async () => {
    xen = await XenFixture.start();
  });
  afterEach(() => xen[Symbol.asyncDispose]());

  it('backs up in full, then what changed; lists, explains, verifies, and restores both points', async () => {
    const first = await xen.host.digest(xen.disk);
    const full = idOf(await xen.done(`--hypervisor xen ${xen.disk}`));
    xen.assertClean(1);
    xen.host.guestWrite(xen.disk, 10 * MIB, randomBytes(2 * MIB));
    xen.host.guestZero(xen.disk, MIB, MIB);
    const second = await xen.host.digest(xen.disk);
    const out = await xen.done(`--hypervisor xen ${xen.disk}`);
    assert.match(out, /^[0-9a-f]{16} {2}inc of root of web01: 64\.0 MiB, /);
    const increment = idOf(out);
    xen.assertClean(1);

    const [title, one, two, ...rest] = (await xen.done('list')).trimEnd().split('\n');
    assert.match(title ?? '', /^ID /);
    assert.match(one ?? '', new RegExp(`^${full} .* full +first-backup .* root of web01$`));
    assert.match(two ?? '', new RegExp(`^${increment} .* inc .* root of web01$`));
    assert.deepEqual(rest, []);
    assert.match(await xen.done(`info ${increment.slice(0, 6)}`), new RegExp(`^chain +${full} > ${increment}$`, 'm'));
    assert.match(await xen.done(`info ${increment}`), /changes found by cbt$/m);
    assert.equal((await xen.done('verify')).match(/ good /g)?.length, 2);

    await xen.done(`restore ${full} full.raw`);
    await xen.done(`restore ${xen.disk}@latest latest.raw`);
    assert.equal(await xen.sha256('full.raw'), first);
    assert.equal(await xen.sha256('latest.raw'), second);
    await xen.refused(`restore ${full} latest.raw`, 1, 'VB_TARGET_EXISTS');
    await xen.done(`restore ${full} latest.raw --force`);
    assert.equal(await xen.sha256('latest.raw'), first);

    const chain = (await readdir(join(xen.repository, 'xen', xen.disk))).find((name) => name !== 'lock') ?? '';
    const files = await readdir(join(xen.repository, 'xen', xen.disk, chain));
    const stream = files.find((name) => name.endsWith('.inc.virtnbdbackup.1.data')) ?? assert.fail(files.join());
    assert.match(
      await xen.done(`info ${join(xen.repository, 'xen', xen.disk, chain, stream)}`),
      new RegExp(`^backup +${increment}$`, 'm'),
    );
  });

  it('backs up a machine as a whole and restores every disk into a folder', async () => {
    const data = xen.host.addDisk({ size: 8 * MIB, label: 'data' });
    xen.host.guestWrite(data, 5 * MIB, randomBytes(MIB));
    xen.host.addMachine({ name: 'web01', disks: [xen.disk, data] });
    const id = idOf(await xen.done('--hypervisor xen vm:web01 --compress none --connections 3'));
    xen.assertClean(2);
    await xen.refused(`restore ${id} one.raw`, 2, 'VB_CLI_USAGE');
    await mkdir(join(xen.folder, 'all'));
    await xen.done(`restore ${id} all`);
    const digests = await Promise.all(
      (await readdir(join(xen.folder, 'all'))).map((name) => xen.sha256(join('all', name))),
    );
    assert.deepEqual(digests.sort(), [await xen.host.digest(xen.disk), await xen.host.digest(data)].sort());
    await xen.done(`restore ${data}@latest data.raw`);
    assert.equal(await xen.sha256('data.raw'), await xen.host.digest(data));
  });

  describe('--format vma', () => {
    const state = { VBACKUP_STATE: 'state' };
    let data: string;
    beforeEach(() => {
      data = xen.host.addDisk({ size: 8 * MIB, label: 'data' });
      xen.host.guestWrite(data, 5 * MIB, randomBytes(MIB));
      xen.host.addMachine({ name: 'web01', disks: [xen.disk, data] });
    });

    it('writes a machine straight into an archive, and leaves host and repository as they were', async () => {
      idOf(await xen.done('--hypervisor xen vm:web01'));
      xen.assertClean(2);
      xen.host.guestWrite(data, MIB, randomBytes(MIB));
      const { code, err } = await xen.run('--hypervisor xen vm:web01 --format vma -o a.vma', { env: state });
      assert.equal(code, 0, err);
      xen.assertClean(2);
      await xen.done('-r other import vma a.vma');
      await mkdir(join(xen.folder, 'all'));
      await xen.done('-r other restore web01@latest all');
      const names = (await readdir(join(xen.folder, 'all'))).toSorted();
      assert.deepEqual(names, ['drive-scsi0.raw', 'drive-scsi1.raw']);
      const digests = await Promise.all(names.map((name) => xen.sha256(join('all', name))));
      assert.deepEqual(digests.sort(), [await xen.host.digest(xen.disk), await xen.host.digest(data)].sort());
      // What the archive's snapshot saw is not lost for the next increment.
      assert.match(await xen.done('--hypervisor xen vm:web01'), /^[0-9a-f]{16} {2}inc of web01/);
      await xen.done(`restore ${data}@latest data.raw`);
      assert.equal(await xen.sha256('data.raw'), await xen.host.digest(data));
    });

    it('leaves nothing when it is stopped, on the host or in the folder', async () => {
      xen.holdFirstRead();
      let stopped = false;
      const line = '--hypervisor xen vm:web01 --format vma -o a.vma';
      const { code } = await xen.run(line, {
        env: state,
        onText: (text, child) => {
          if (!stopped && /: copy, /.test(text)) {
            stopped = true;
            child.kill('SIGINT');
          }
        },
      });
      assert.equal(code, 130);
      xen.assertClean(0);
      const left = (await readdir(xen.folder)).filter((name) => name.startsWith('a.'));
      assert.deepEqual(left, []);
    });

    it('removes from the host, with the next archive, what one that was killed left', async () => {
      xen.holdFirstRead();
      let killed = false;
      const { code } = await xen.run('--hypervisor xen vm:web01 --format vma -o a.vma', {
        env: state,
        onText: (text, child) => {
          if (!killed && /: copy, /.test(text)) {
            killed = true;
            child.kill('SIGKILL');
          }
        },
      });
      assert.equal(code, 137);
      assert.notDeepEqual(xen.host.leftovers().machineSnapshots.length + xen.host.leftovers().snapshots.length, 0);
      const again = await xen.run('--hypervisor xen vm:web01 --format vma -o b.vma', { env: state });
      assert.equal(again.code, 0, again.err);
      // The session of the one that was killed ends by itself, later.
      assert.deepEqual({ ...xen.host.leftovers(), sessions: 0 }, { ...NOTHING, sessions: 0 });
    });
  });

  it('backs one disk up into two repositories side by side, each with a base of its own', async () => {
    const repositories = [join(xen.folder, 'one'), join(xen.folder, 'two')] as const;
    const backUp = async (repository: string, level = ''): Promise<string> => {
      xen.host.guestWrite(xen.disk, randomInt(60) * MIB, randomBytes(100_000));
      return xen.done(`--hypervisor xen ${xen.disk} -r ${repository} ${level}`);
    };
    const points: { readonly repository: string; readonly id: string; readonly digest: string }[] = [];
    const rounds = [
      [0, '', 'full'],
      [1, '', 'full'],
      [0, '', 'inc'],
      [1, '', 'inc'],
      [0, '--level diff', 'diff'],
      [1, '--level copy', 'copy'],
      [1, '', 'inc'],
      [0, '', 'inc'],
      [0, '--level full', 'full'],
    ] as const;
    for (const [which, option, level] of rounds) {
      const out = await backUp(repositories[which], option);
      assert.match(out, new RegExp(`^[0-9a-f]{16} {2}${level} `));
      points.push({ repository: repositories[which], id: idOf(out), digest: await xen.host.digest(xen.disk) });
    }
    xen.assertClean(2);
    for (const { repository, id, digest } of points) {
      await xen.done(`restore ${id} point.raw --force -r ${repository}`);
      assert.equal(await xen.sha256('point.raw'), digest);
    }
    // And both at once.
    xen.host.guestWrite(xen.disk, 0, randomBytes(MIB));
    const outs = await Promise.all(repositories.map((path) => xen.done(`--hypervisor xen ${xen.disk} -r ${path}`)));
    for (const [index, repository] of repositories.entries()) {
      assert.match(outs[index] ?? '', / inc of /);
      await xen.done(`restore ${xen.disk}@latest point.raw --force -r ${repository}`);
      assert.equal(await xen.sha256('point.raw'), await xen.host.digest(xen.disk));
    }
    xen.assertClean(2);
  }).timeout(180_000);

  it('restores into a storage repository of the host', async () => {
    const id = await xen.backUp();
    await xen.done(`restore ${id} xen:sr=${xen.host.sr}`);
    const copies = xen.host.records('VDI').filter((vdi) => vdi['uuid'] !== xen.disk && vdi['is_a_snapshot'] === false);
    assert.equal(copies.length, 1);
    const uuid = copies[0]?.['uuid'];
    assert.ok(typeof uuid === 'string');
    assert.equal(await xen.host.digest(uuid), await xen.host.digest(xen.disk));
    xen.assertClean(1);
    await xen.refused(`restore ${id} xen:sr=00000000-0000-0000-0000-000000000000`, 10, 'VB_XEN_SR_NOT_FOUND');
  });

  it('restores into an NBD server, over what was there', async () => {
    const id = await xen.backUp();
    const memory = new MemoryExport({ size: 64 * MIB });
    await memory.write(20 * MIB, Buffer.alloc(MIB, 'old'));
    const address = { kind: 'unix', path: join(xen.folder, 'socket') } as const;
    const server = await NbdServer.listen({ address, open: () => Promise.resolve(memory) });
    try {
      await xen.done(`restore ${id} nbd+unix:///?socket=${address.path}`);
    } finally {
      await server.close();
    }
    const content = Buffer.alloc(memory.size);
    await memory.read(0, content);
    assert.equal(createHash('sha256').update(content).digest('hex'), await xen.host.digest(xen.disk));
    await xen.refused(`restore ${id} nbd+unix:///x`, 2, 'VB_NBD_URI');
  });

  it('keeps the promise of --json in a real run', async () => {
    const lines = parseJsonLines((await xen.done(`--json --hypervisor xen ${xen.disk}`)).trimEnd().split('\n'));
    assert.deepEqual([lines[0]?.type, lines.at(-2)?.type, lines.at(-1)?.type], ['start', 'summary', 'summary']);
    assert.ok(lines.some((line) => line.type === 'progress' && line.finished !== undefined));
    for (const line of [
      'list',
      'verify',
      `restore ${xen.disk}@latest x.raw`,
      `info ${xen.disk}@latest`,
      'doctor --hypervisor xen',
    ]) {
      parseJsonLines((await xen.done(`--json ${line}`)).trimEnd().split('\n'));
    }
  });
});
