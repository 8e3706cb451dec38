import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cutAfterReads, selfSigned, startXapiHost } from '@vbackup/lab';
import { BIN, type CommandResult, runProgram } from './testing/command.js';
import { MIB, XenFixture } from './testing/xen-fixture.js';

describe('vbackup, when something is wrong,', function () {
  this.timeout(60_000);
  let xen: XenFixture;
  beforeEach(async () => {
    xen = await XenFixture.start();
  });
  afterEach(() => xen[Symbol.asyncDispose]());

  it('is refused with a wrong password', async () => {
    await xen.refused(`--hypervisor xen ${xen.disk}`, 12, 'VB_XEN_AUTHENTICATION', {
      env: { VBACKUP_XEN_PASSWORD: 'not the password' },
    });
    xen.assertClean(0);
  });

  it('refuses a host with another certificate, and one that nothing vouches for, naming its fingerprint', async () => {
    const other = { VBACKUP_XEN_FINGERPRINT: `sha256:${'0'.repeat(64)}` };
    await xen.refused(`--hypervisor xen ${xen.disk}`, 12, 'VB_XEN_FINGERPRINT_MISMATCH', { env: other });
    const none = { VBACKUP_XEN_FINGERPRINT: '' };
    const err = await xen.refused(`--hypervisor xen ${xen.disk}`, 12, 'VB_XEN_CERTIFICATE_UNTRUSTED', { env: none });
    assert.match(err, new RegExp(`--xen-fingerprint sha256:${xen.host.fingerprint}`));
    assert.deepEqual(xen.host.calls, []);
  });

  it('takes a host that the system’s roots vouch for', async () => {
    const roots = join(xen.folder, 'roots.pem');
    await writeFile(roots, xen.host.certificate);
    const env = { VBACKUP_XEN_FINGERPRINT: '', SSL_CERT_FILE: roots };
    const { code, err } = await xen.run(`--hypervisor xen ${xen.disk}`, { env });
    assert.equal(code, 0, err);
  });

  it('says 10 for a disk that is not there, and 3 where the others were', async () => {
    const unknown = '00000000-0000-0000-0000-000000000000';
    await xen.refused(`--hypervisor xen ${unknown}`, 10, 'VB_GUEST_NOT_FOUND');
    await xen.refused(`--hypervisor xen ${unknown} ${xen.disk}`, 3, 'VB_GUEST_NOT_FOUND');
    assert.equal((await xen.done('list')).trimEnd().split('\n').length, 2);
    xen.assertClean(1);
  });

  it('says 10 for a repository and a backup that are not there', async () => {
    await xen.refused('list', 10, 'VB_REPOSITORY_NOT_FOUND');
    await xen.refused('verify', 10, 'VB_REPOSITORY_NOT_FOUND');
    await xen.backUp();
    await xen.refused('info ffffffffffffffff', 10, 'VB_BACKUP_NOT_FOUND');
    await xen.refused('list web99', 10, 'VB_BACKUP_NOT_FOUND');
  });

  it('says 12 for a repository that cannot be written', async () => {
    await xen.refused(`--hypervisor xen ${xen.disk} -r /sys/vbackup`, 12, 'VB_ACCESS_DENIED');
    xen.assertClean(0);
  });

  it('says 13 for an increment without a base', async () => {
    await xen.refused(`--hypervisor xen ${xen.disk} --level inc`, 13, 'VB_CHAIN_BROKEN');
    xen.assertClean(0);
  });

  it('makes a full with its reason where the host cannot track changes', async () => {
    xen.host.faults.cbtLicensed = false;
    await xen.backUp();
    const { code, out } = await xen.run(`--hypervisor xen ${xen.disk}`);
    assert.equal(code, 0);
    assert.match(out, /full \(no-change-tracking\)/);
    xen.assertClean(0);
  });

  it('lets two runs of one disk not work at once: the second says 11', async () => {
    xen.holdFirstRead();
    let second: Promise<CommandResult> | undefined;
    const first = await xen.run(`--hypervisor xen ${xen.disk}`, {
      onText: (text) => {
        if (second === undefined && /xvd|full/.test(text)) second = xen.run(`--hypervisor xen ${xen.disk}`);
      },
    });
    const { code, err } = await (second ?? assert.fail('the second run was never started'));
    assert.deepEqual([first.code, code], [0, 11], `${first.err}\n${err}`);
    assert.match(err, /\[VB_REPOSITORY_LOCKED\]/);
    xen.assertClean(1);
  });

  it('names a damaged manifest, and what else is damaged, and ends with 14', async () => {
    await xen.backUp();
    const copy = await xen.backUp('--level copy');
    const chains = (await readdir(join(xen.repository, 'xen', xen.disk))).filter((name) => name !== 'lock').sort();
    const [first = '', second = ''] = chains.map((name) => join(xen.repository, 'xen', xen.disk, name));
    const damaged = (await readdir(join(first, '.vbackup'))).includes(`${copy}.json`) ? second : first;
    const whole = damaged === first ? second : first;
    const manifest = (await readdir(join(damaged, '.vbackup'))).find((name) => name.endsWith('.json')) ?? '';
    await writeFile(join(damaged, '.vbackup', manifest), '{');
    const list = await xen.run('list');
    assert.equal(list.code, 0);
    assert.match(list.err, /warning: .*\[VB_MANIFEST_DAMAGED\]/);
    assert.equal(list.out.trimEnd().split('\n').length, 2);

    const stream = (await readdir(whole)).find((name) => name.endsWith('.data')) ?? '';
    const bytes = await readFile(join(whole, stream));
    const middle = Math.floor((await stat(join(whole, stream))).size / 2);
    bytes[middle] = 255 - (bytes[middle] ?? 0);
    await writeFile(join(whole, stream), bytes);
    const { code, out } = await xen.run('verify');
    assert.equal(code, 14);
    assert.match(out, new RegExp(`^${copy}  DAMAGED`, 'm'));
    assert.match(out, /bytes \d+ to \d+ of .*\[VB_FRAME_D/);
    assert.match(out, /\[VB_MANIFEST_DAMAGED\]/);
    await xen.refused(`restore ${copy} x.raw`, 1, 'VB_FRAME_D\\w+');
    await assert.rejects(stat(join(xen.folder, 'x.raw')));
  });

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`releases everything on ${signal} and ends with ${exitCode}`, async () => {
      xen.holdFirstRead();
      let sent = false;
      const { code, err } = await xen.run(`--hypervisor xen ${xen.disk}`, {
        onText: (text, child) => {
          if (!sent && /full/.test(text)) sent = child.kill(signal);
        },
      });
      assert.equal(code, exitCode, err);
      xen.assertClean(0);
      assert.match(err, new RegExp(`interrupted by ${signal} \\[VB_ABORTED\\]`));
      xen.host.faults.clear();
      await xen.backUp();
      assert.equal((await xen.done('list')).trimEnd().split('\n').length, 2);
    });
  }

  it('heals what SIGKILL left behind with the next run', async () => {
    await xen.backUp();
    xen.host.guestWrite(xen.disk, 0, randomBytes(MIB));
    xen.holdFirstRead();
    const killed = await xen.run(`--hypervisor xen ${xen.disk}`, {
      onText: (text, child) => {
        if (/inc/.test(text)) child.kill('SIGKILL');
      },
    });
    assert.equal(killed.code, 137);
    assert.equal(xen.host.leftovers().snapshots.length, 1);
    assert.match(await xen.done('doctor'), /^warning +leftover: /m);
    xen.host.faults.clear();
    assert.match(await xen.done(`--hypervisor xen ${xen.disk}`), / inc of /);
    xen.host.expireSessions();
    xen.assertClean(1);
    await xen.done('verify');
    await xen.assertRestores();
  });

  it('lets doctor name the missing network for NBD', async () => {
    assert.match(await xen.done('doctor --hypervisor xen'), /^good +xen: connected$/m);
    await using other = await startXapiHost({ nbdPurpose: 'none' });
    const { code, out } = await xen.run('doctor --hypervisor xen', {
      env: { VBACKUP_XEN_URL: other.url, VBACKUP_XEN_FINGERPRINT: `sha256:${other.fingerprint}` },
    });
    assert.equal(code, 1);
    assert.match(out, /^bad +.*nbd/im);
  });

  it('names the network for NBD that is missing', async () => {
    await using other = await startXapiHost({ nbdPurpose: 'none' });
    const disk = other.addDisk({ size: MIB, label: '' });
    await xen.refused(`--hypervisor xen ${disk}`, 1, 'VB_XEN_NBD_UNAVAILABLE', {
      env: {
        VBACKUP_XEN_URL: other.url,
        VBACKUP_XEN_FINGERPRINT: `sha256:${other.fingerprint}`,
        VBACKUP_XEN_PASSWORD: other.password,
      },
    });
    assert.deepEqual(other.leftovers().snapshots, []);
  });

  it('refuses to read from a server with another certificate than the host named', async () => {
    const { certificate, key } = await selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] });
    xen.host.faults.nbd.identity = { certificate, key };
    const err = await xen.refused(`--hypervisor xen ${xen.disk}`, 12, 'VB_XEN_NBD_CERTIFICATE');
    assert.match(err, /shows another certificate/);
    assert.match(err, /restart its NBD server/);
    xen.assertClean(0);
  });

  it('reads on after connections were cut, and after the host forgot the session', async () => {
    xen.host.faults.nbd.onRead = cutAfterReads(1, 2);
    await xen.backUp();
    xen.host.faults.clear();
    xen.host.guestWrite(xen.disk, 9 * MIB, randomBytes(MIB));
    let forgotten = false;
    xen.host.faults.nbd.onRead = () => {
      if (!forgotten) xen.host.expireSessions();
      forgotten = true;
      return undefined;
    };
    assert.match(await xen.done(`--hypervisor xen ${xen.disk}`), / inc of /);
    await xen.assertRestores();
    xen.assertClean(1);
  });

  it('starts a new chain, with its reason, after a crash of the host', async () => {
    await xen.backUp();
    xen.host.guestWrite(xen.disk, 0, randomBytes(MIB));
    xen.host.crash();
    assert.match(await xen.done(`--hypervisor xen ${xen.disk}`), / full \(tracking-[a-z-]+\) of /);
    await xen.refused(`--hypervisor xen 0 --level inc`, 2, 'VB_XEN_SELECTOR');
    await xen.assertRestores();
  });

  it('starts a new chain, with its reason, when the base is gone, and keeps one base again', async () => {
    await xen.backUp();
    const [base = ''] = xen.host.leftovers().bases;
    xen.host.destroyDisk(base);
    xen.host.guestWrite(xen.disk, 5 * MIB, randomBytes(MIB));
    await xen.refused(`--hypervisor xen ${xen.disk} --level inc`, 13, 'VB_CHAIN_BROKEN');
    xen.assertClean(0);
    assert.match(await xen.done(`--hypervisor xen ${xen.disk}`), / full \(base-missing\) of /);
    xen.assertClean(1);
    await xen.assertRestores();
    xen.host.guestWrite(xen.disk, 6 * MIB, randomBytes(MIB));
    assert.match(await xen.done(`--hypervisor xen ${xen.disk}`), / inc of /);
    await xen.assertRestores();
    await xen.done('verify');
  });

  it('backs up a disk that has grown', async () => {
    await xen.backUp();
    xen.host.grow(xen.disk, 96 * MIB);
    xen.host.guestWrite(xen.disk, 90 * MIB, randomBytes(MIB));
    await xen.done(`--hypervisor xen ${xen.disk}`);
    await xen.assertRestores();
    await xen.done('verify');
    xen.assertClean(1);
  });

  it('leaves the last backup and a clean host when the repository is full', async () => {
    const small = xen.host.addDisk({ size: MIB, label: 'small' });
    const vbackup = `"${process.execPath}" "${BIN}"`;
    const work = `${vbackup} -q --hypervisor xen ${small} && {
      ${vbackup} --hypervisor xen ${xen.disk}; code=$?; ${vbackup} verify && exit $code; }`;
    // A file system of 3 MiB that goes away with the shell; where the kernel forbids it, files of 1 MiB at most.
    const script = `if unshare -Urm true 2>/dev/null
      then exec unshare -Urm sh -c 'mount -t tmpfs -o size=3m none "$1" && { ${work}; }' - "${xen.repository}"
      else ulimit -f 2048; ${work}; fi`;
    await mkdir(xen.repository);
    const { code, out, err } = await runProgram('sh', ['-c', script], { env: xen.env });
    assert.equal(code, 1, out + err);
    assert.match(err, /^vbackup: .*\[VB_NO_SPACE\]$/m);
    assert.equal(out.match(/ good /g)?.length, 1);
    xen.assertClean(1);
  });
});
