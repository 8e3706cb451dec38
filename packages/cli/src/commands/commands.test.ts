import assert from 'node:assert/strict';
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VBackupError } from '@vbackup/core/errors';
import { parseJsonLines } from '../testing/json-promise.js';
import { diskOf, manifestOf } from '../testing/manifest.js';
import { testProgram } from '../testing/program.js';

const STREAM = fileURLToPath(new URL('../../../core/fixtures/sparse-stream/A/vda.full.data', import.meta.url));

describe('vbackup', () => {
  const program = testProgram();

  describe('list', () => {
    it('shows chains in order, and damaged manifests as warnings', async () => {
      const full = manifestOf('a1');
      const inc = manifestOf('b2', {
        level: 'inc',
        reason: undefined,
        parent: full.id,
        time: '2026-11-20T11:00:00.000Z',
      });
      program.world.fake.backups = [inc, full];
      program.world.fake.damaged = [{ path: '/r/x.json', error: new VBackupError('VB_IO', 'not JSON') }];
      assert.equal(await program.run('list'), 0);
      const [title, first, second] = program.world.stdout.lines;
      assert.match(title ?? '', /^ID +TIME +LEVEL +REASON +SIZE +STORED +NAME$/);
      assert.match(first ?? '', /^a100000000000000 .* full +first-backup +1\.0 GiB +100\.0 MiB +web01$/);
      assert.match(second ?? '', /^b200000000000000 .* inc +1\.0 GiB/);
      assert.match(program.world.stderr.text, /warning: \/r\/x\.json: not JSON \[VB_IO\]/);
    });

    it('shows those of one guest or disk, and says 10 when there are none', async () => {
      program.world.fake.backups = [
        manifestOf('a1'),
        manifestOf('c3', { guest: { id: 'g', name: 'db', kind: 'disk' }, disks: [] }),
      ];
      for (const name of ['web01', 'guest-1', 'id-of-xvda']) {
        program.world.stdout.text = '';
        assert.equal(await program.run(`list ${name}`), 0);
        assert.equal(program.world.stdout.lines.length, 2, name);
      }
      assert.equal(await program.run('list nobody'), 10);
    });

    it('says on standard error that there are none', async () => {
      assert.equal(await program.run('list'), 0);
      assert.equal(program.world.stdout.text, '');
      assert.match(program.world.stderr.text, /no backups/);
    });

    it('lets no name drive the terminal', async () => {
      program.world.fake.backups = [manifestOf('a1', { guest: { id: 'g', name: 'evil\x1b[2J\nname', kind: 'disk' } })];
      await program.run('list');
      assert.equal(program.world.stdout.lines.length, 2);
      assert.ok(!program.world.stdout.text.includes('\x1b'));
    });
  });

  describe('info', () => {
    it('shows what the manifest knows, and the chain', async () => {
      const full = manifestOf('a1');
      program.world.fake.backups = [full, manifestOf('b2', { parent: full.id, level: 'inc', reason: undefined })];
      assert.equal(await program.run('info b2'), 0);
      assert.match(program.world.stdout.text, /^chain +a100000000000000 > b200000000000000$/m);
      assert.match(program.world.stdout.text, /changes found by all/);
      assert.match(program.world.stdout.text, /xvda\.full\.data +1\.2 KiB +sha256:abab/);
    });

    it('shows how changes were found, and what was audited', async () => {
      const audit = { shares: 30, share: 29, length: 3 * 1024 ** 2 };
      const disks = [{ ...diskOf('xvda'), level: 'inc', reason: undefined, method: 'digests', audit }] as const;
      program.world.fake.backups = [manifestOf('b2', { level: 'inc', reason: undefined, disks })];
      await program.run('info b2');
      assert.match(program.world.stdout.text, /^ {2}level +inc; changes found by digests$/m);
      assert.match(
        program.world.stdout.text,
        /^ {2}audit +3\.0 MiB of what is called unchanged compared, share 30 of 30$/m,
      );
      program.world.stdout.text = '';
      await program.run('info b2 --json');
      parseJsonLines(program.world.stdout.lines);
    });

    it('shows a SparseStream file, by its path or its name', async () => {
      await copyFile(STREAM, join(program.folder, 'vda.full.data'));
      for (const name of ['./vda.full.data', 'vda.full.data']) {
        program.world.stdout.text = '';
        assert.equal(await program.run(`info ${name}`), 0);
        assert.match(program.world.stdout.text, /^format +SparseStream 2$/m);
      }
      assert.deepEqual(program.world.fake.opened, []);
    });

    it('says where a SparseStream file is faulty', async () => {
      await writeFile(join(program.folder, 'x.data'), 'no stream at all, but long enough to be one');
      assert.equal(await program.run('info x.data'), 1);
      assert.match(program.world.stderr.text, /\(at byte \d+\) \[VB_SPARSE_/);
    });

    it('says what to do about a path that is not there', async () => {
      for (const name of ['./missing', 'missing/vda.data', '/nowhere/at.all']) {
        program.world.stderr.text = '';
        assert.equal(await program.run(`info ${name}`), 10);
        assert.match(program.world.stderr.text, /there is no \S+ \[VB_FILE_NOT_FOUND\]\n {2}check the name/);
      }
    });

    it('refuses a folder', async () => {
      assert.equal(await program.run(`info ${program.folder}`), 2);
      assert.match(program.world.stderr.text, /is a folder \[VB_FILE_TYPE\]\n {2}name a SparseStream file/);
    });

    it('says 10 for a backup that is not there', async () => {
      assert.equal(await program.run('info ffff'), 10);
    });
  });

  describe('verify', () => {
    const damage = [
      {
        code: 'VB_FRAME_DIGEST',
        message: 'not what was written',
        file: 'x.data',
        disk: 'xvda',
        extent: { offset: 0, length: 8 },
      },
    ];

    it('says of every backup whether it is good', async () => {
      program.world.fake.backups = [manifestOf('a1'), manifestOf('b2')];
      assert.equal(await program.run('verify'), 0);
      assert.deepEqual(program.world.stdout.lines, ['a100000000000000  good  web01', 'b200000000000000  good  web01']);
    });

    it('names the damage and ends with 14, also with -q', async () => {
      program.world.fake.backups = [manifestOf('a1'), manifestOf('b2')];
      program.world.fake.damage.set(manifestOf('b2').id, damage);
      assert.equal(await program.run('verify -q'), 14);
      assert.deepEqual(program.world.stdout.lines, [
        'b200000000000000  DAMAGED  web01',
        '  x.data: not what was written; bytes 0 to 7 of xvda [VB_FRAME_DIGEST]',
      ]);
      assert.equal(await program.run('verify a1'), 0);
    });

    it('ends with 14 for damage that belongs to no readable backup', async () => {
      program.world.fake.damage.set('general', damage);
      assert.equal(await program.run('verify'), 14);
      assert.match(program.world.stdout.text, /not what was written/);
    });
  });

  describe('restore', () => {
    beforeEach(() => {
      program.world.fake.backups = [manifestOf('a1'), manifestOf('b2', { disks: [diskOf('xvda'), diskOf('xvdb')] })];
    });

    it('writes to a file, and hands --force down', async () => {
      assert.equal(await program.run('restore a1 out.raw --force'), 0);
      assert.deepEqual(program.world.fake.restored, [{ disk: 'xvda', target: `${join(program.folder, 'out.raw')}!` }]);
      assert.match(
        program.world.stdout.text,
        /^xvda of a100000000000000 restored to out\.raw: 1\.0 KiB, 512 B written/,
      );
    });

    it('writes to an NBD server', async () => {
      for (const uri of ['nbd://host/x', 'nbds://host/x', 'nbd+unix:///x?socket=/s']) {
        assert.equal(await program.run(`restore a1 ${uri}`), 0);
      }
      assert.equal(program.world.fake.restored.length, 3);
    });

    it('asks which disk where there are several', async () => {
      await program.refused('restore b2 out.raw', 'VB_CLI_USAGE');
      assert.match(program.world.stderr.text, /choose with --disk: xvda, xvdb/);
      assert.equal(await program.run('restore b2 out.raw --disk xvdb'), 0);
      assert.equal(await program.run('restore b2 out.raw --disk xvdz'), 2);
    });

    it('writes every disk into a folder', async () => {
      await mkdir(join(program.folder, 'all'));
      assert.equal(await program.run('restore b2 all'), 0);
      const expected = ['xvda', 'xvdb'].map((disk) => ({ disk, target: join(program.folder, 'all', `${disk}.raw`) }));
      assert.deepEqual(program.world.fake.restored, expected);
    });

    it('writes the disks that are named, in the order of the backup', async () => {
      const disks = ['xvda', 'xvdb', 'xvdc'].map(diskOf);
      program.world.fake.backups = [manifestOf('c3', { disks })];
      assert.equal(await program.run('restore c3 some/ --disk xvdc --disk xvda'), 0);
      assert.deepEqual(
        program.world.fake.restored.map(({ disk }) => disk),
        ['xvda', 'xvdc'],
      );
      assert.equal(await program.run('restore c3 one.raw --disk xvdc --disk xvda'), 2);
    });

    it('makes a folder for several disks, and where a slash asks for one', async () => {
      assert.equal(await program.run('restore b2 new'), 0);
      assert.equal(await program.run('restore a1 deep/er/'), 0);
      const targets = program.world.fake.restored.map(({ target }) => target);
      const expected = ['new/xvda.raw', 'new/xvdb.raw', 'deep/er/xvda.raw'];
      assert.deepEqual(
        targets,
        expected.map((file) => join(program.folder, file)),
      );
      // Nothing was put into it here, and what vbackup made and left empty it takes away.
      await assert.rejects(stat(join(program.folder, 'new')), { code: 'ENOENT' });
    });

    it('says that the folder of a file is missing', async () => {
      await program.refused('restore a1 deep/er/disk.raw', 'VB_FILE_NOT_FOUND', 10);
      assert.match(program.world.stderr.text, /no folder .*deep\/er .*\n.*write \/ at the end/);
    });

    it('makes qcow2 images like those that the disks lay in, and says what they lose', async () => {
      const { fake } = program.world;
      const qcow2 = { compat: '1.1', lazyRefcounts: false, extendedL2: false, refcountBits: 16, compression: 'zlib' };
      const image = { format: 'qcow2', clusterSize: 4096, qcow2, backingFile: null, dataFile: null, encrypted: false };
      fake.images.set('xvda', { ...image, backingFile: 'base.qcow2' });
      assert.equal(await program.run('restore b2 all/ --format qcow2'), 0);
      const expected = [
        { disk: 'xvda', target: `${join(program.folder, 'all', 'xvda.qcow2')} 4096` },
        { disk: 'xvdb', target: `${join(program.folder, 'all', 'xvdb.qcow2')} as usual` },
      ];
      assert.deepEqual(fake.restored, expected);
      assert.match(program.world.stderr.text, /it stood on base\.qcow2 \[VB_IMAGE_FLATTENED\]/);
      await program.run('restore a1 nbd://host/x --format qcow2');
      assert.match(program.world.stderr.text, /--format is about files/);
    });

    it('makes a machine of the disks, in a folder and in the formats that they had', async () => {
      const { fake } = program.world;
      const image = { backingFile: null, dataFile: null, encrypted: false, clusterSize: null, qcow2: null };
      fake.images.set('xvda', { ...image, format: 'qcow2' }).set('xvdb', { ...image, format: 'vmdk' });
      assert.equal(await program.run('restore b2 new --define --name copy --json'), 0);
      const folder = join(program.folder, 'new');
      const disks = `xvda=${join(folder, 'xvda.qcow2')}:qcow2 xvdb=${join(folder, 'xvdb.raw')}:raw`;
      const last = parseJsonLines(program.world.stdout.lines).at(-2);
      assert.ok(last !== undefined && 'machine' in last);
      const { id, machine, machineId } = last;
      assert.deepEqual([id, machine, machineId], ['b200000000000000', 'copy', `${folder} false ${disks}`]);
    });

    it('restores nothing where no machine can be made', async () => {
      await program.refused('restore b2 new --define --name taken', 'VB_PLUGIN_TAKEN', 1);
      assert.deepEqual(program.world.fake.restored, []);
      await assert.rejects(stat(join(program.folder, 'new')), { code: 'ENOENT' });
    });

    it('changes the disks of a hypervisor where they lie', async () => {
      assert.equal(await program.run('restore b2 test:web --in-place --disk xvdb'), 0);
      const { text } = program.world.stdout;
      assert.match(text, /^xvdb of b200000000000000 restored in place: xvdb of web: 1\.0 KiB, 256 B written in/);
      assert.match(program.world.stderr.text, /^xvdb: 256 B written in/m);
      await program.run('restore b2 test:web --in-place --json');
      const items = parseJsonLines(program.world.stdout.lines.slice(1)).filter((line) => 'inPlace' in line);
      assert.equal(items.length, 2);
    });

    it('changes nothing where one of the disks has another size', async () => {
      await program.refused('restore b2 test:xvdb --in-place', 'VB_TARGET_SIZE', 1);
      assert.match(program.world.stderr.text, /closed xvda/);
    });

    it('changes no image that begins as one of another format', async () => {
      const image = join(program.folder, 'disk.img');
      await writeFile(image, Buffer.concat([Buffer.from('514649fb', 'hex'), Buffer.alloc(1020)]));
      await program.refused('restore a1 disk.img --in-place', 'VB_IMAGE_FORMAT');
      assert.match(program.world.stderr.text, /--format qcow2 if it is one, else --format raw/);
      await program.refused('restore a1 none.img --in-place', 'VB_FILE_NOT_FOUND', 10);
      assert.match(program.world.stderr.text, /leave out --in-place/);
    });

    it('makes a qcow2 of a file that is called like one, unless it is told otherwise', async () => {
      await program.run('restore a1 disk.qcow2');
      await program.run('restore a1 other.qcow2 --format raw');
      assert.deepEqual(
        program.world.fake.restored.map(({ target }) => target.replace(`${program.folder}/`, '')),
        ['disk.qcow2 as usual', 'other.qcow2'],
      );
    });

    for (const [line, fault] of [
      ['restore a1 nbd://host/x --in-place', /--in-place needs a file/],
      ['restore a1 test:web --in-place --define', /cannot be used with option '--define'/],
      ['restore a1 new --name copy', /--name is about --define/],
      ['restore a1 new --hypervisor test', /--hypervisor is about --define/],
      ['restore a1 nbd://host/x --define', /--define needs a folder/],
      ['restore a1 test:sr=1 --define', /--define needs a folder/],
    ] as const) {
      it(`refuses ${line}`, async () => {
        await program.refused(line, 'VB_CLI_USAGE');
        assert.match(program.world.stderr.text, fault);
      });
    }

    it('hands a target of a hypervisor to its plugin', async () => {
      assert.equal(await program.run('restore a1 test:sr=1'), 70);
      assert.match(program.world.stderr.text, /target sr=1/);
      assert.equal(await program.run('restore a1 test:sr=2 --test-url https://other'), 70);
      assert.match(program.world.stderr.text, /connected to https:\/\/other/);
      assert.equal(await program.run('restore a1 tset:sr=1'), 2);
    });
  });

  describe('doctor', () => {
    it('names what is wrong with its cure, and goes on', async () => {
      assert.equal(await program.run(`doctor --hypervisor test -r ${program.folder}`), 1);
      assert.match(program.world.stdout.text, /^good +node: v/m);
      assert.match(program.world.stdout.text, /^good +lz4: /m);
      assert.match(program.world.stdout.text, /^good +access: /m);
      assert.match(program.world.stdout.text, /^bad +cbt: is off\n +switch it on$/m);
    });

    it('finds what a dead run left', async () => {
      await mkdir(join(program.folder, 'xen', 'guest'), { recursive: true });
      await writeFile(join(program.folder, 'xen', 'guest', 'journal.ndjson'), '{}\n');
      assert.equal(await program.run(`doctor -r ${program.folder}`), 0);
      assert.match(program.world.stdout.text, /^warning +leftover: .*xen guest/m);
    });

    it('survives a hypervisor and a configuration that cannot be used', async () => {
      program.world.env['VBACKUP_TEST_URL'] = 'down';
      assert.equal(await program.run(`doctor --hypervisor test -r ${program.folder}`), 1);
      assert.match(program.world.stdout.text, /^bad +test: .*the plugin is broken/m);
    });
  });

  describe('completion', () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      it(`knows every command, option and value for ${shell}`, async () => {
        assert.equal(await program.run(`completion ${shell}`), 0);
        for (const word of ['backup', 'restore', 'connections', 'libvirt-uri', 'log-file', 'auto full inc diff copy']) {
          assert.ok(program.world.stdout.text.includes(word), word);
        }
      });
    }

    it('takes the shell of $SHELL', async () => {
      program.world.env['SHELL'] = '/usr/bin/fish';
      assert.equal(await program.run('completion'), 0);
      assert.match(program.world.stdout.text, /^complete -c vbackup/m);
    });
  });
});
