import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startXapiHost, type XapiHost } from '@vbackup/lab';
import { type CommandOptions, type CommandResult, runCommand } from './testing/command.js';
import { parseJsonLines } from './testing/json-promise.js';

const MIB = 2 ** 20;
const SIZE = 64 * MIB;
/** What a host holds between two backups of one disk, and nothing else. */
const CLEAN = { snapshots: [], machineSnapshots: [], exports: [], tasks: [], sessions: 0 };

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

describe('vbackup against a XenAPI host', function () {
  this.timeout(60_000);
  let folder = '';
  let repository = '';
  let host: XapiHost;
  let disk = '';
  let env: Record<string, string> = {};

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-xen-'));
    repository = join(folder, 'repository');
    host = await startXapiHost();
    disk = host.addDisk({ size: SIZE, label: 'root of web01' });
    host.guestWrite(disk, 0, randomBytes(3 * MIB));
    host.guestWrite(disk, 40 * MIB + 512, randomBytes(MIB));
    await writeFile(join(folder, 'password'), `${host.password}\n`);
    env = {
      VBACKUP_REPOSITORY: repository,
      VBACKUP_XEN_URL: host.url,
      VBACKUP_XEN_FINGERPRINT: `sha256:${host.fingerprint}`,
      VBACKUP_XEN_PASSWORD_FILE: join(folder, 'password'),
    };
  });
  afterEach(async () => {
    await host[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const vbackup = (line: string, options: CommandOptions = {}): Promise<CommandResult> =>
    runCommand(line.split(' ').filter(Boolean), { cwd: folder, ...options, env: { ...env, ...options.env } });

  /** Runs it, expects success, and gives its standard output. */
  async function done(line: string): Promise<string> {
    const { code, out, err } = await vbackup(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  }

  async function refused(line: string, exitCode: number, code: string, options: CommandOptions = {}): Promise<string> {
    const result = await vbackup(line, options);
    assert.equal(result.code, exitCode, `vbackup ${line}\n${result.out}${result.err}`);
    assert.match(result.err, new RegExp(`^vbackup: .*\\[${code}\\]$`, 'm'));
    assert.doesNotMatch(result.err, new RegExp(host.password));
    return result.err;
  }

  function assertClean(bases: number): void {
    const { bases: left, ...rest } = host.leftovers();
    assert.deepEqual(rest, CLEAN);
    assert.equal(left.length, bases);
  }

  const idOf = (line: string): string => /^[0-9a-f]{16}/.exec(line)?.[0] ?? assert.fail(`no id in ${line}`);

  it('backs up in full, then what changed; lists, explains, verifies, and restores both points', async () => {
    const first = await host.digest(disk);
    const full = idOf(await done(`--hypervisor xen ${disk}`));
    assertClean(1);
    host.guestWrite(disk, 10 * MIB, randomBytes(2 * MIB));
    host.guestZero(disk, MIB, MIB);
    const second = await host.digest(disk);
    const out = await done(`--hypervisor xen ${disk}`);
    assert.match(out, /^[0-9a-f]{16} {2}inc of root of web01: 64\.0 MiB, /);
    const increment = idOf(out);
    assertClean(1);

    const [title, one, two, ...rest] = (await done('list')).trimEnd().split('\n');
    assert.match(title ?? '', /^ID /);
    assert.match(one ?? '', new RegExp(`^${full} .* full +first-backup .* root of web01$`));
    assert.match(two ?? '', new RegExp(`^${increment} .* inc .* root of web01$`));
    assert.deepEqual(rest, []);
    assert.match(await done(`info ${increment.slice(0, 6)}`), new RegExp(`^chain +${full} > ${increment}$`, 'm'));
    assert.match(await done(`info ${increment}`), /changes found by cbt$/m);
    assert.equal((await done('verify')).match(/ good /g)?.length, 2);

    await done(`restore ${full} full.raw`);
    await done(`restore ${disk}@latest latest.raw`);
    assert.equal(await sha256(join(folder, 'full.raw')), first);
    assert.equal(await sha256(join(folder, 'latest.raw')), second);
    await refused(`restore ${full} latest.raw`, 1, 'VB_TARGET_EXISTS');
    await done(`restore ${full} latest.raw --force`);
    assert.equal(await sha256(join(folder, 'latest.raw')), first);

    const chain = (await readdir(join(repository, 'xen', disk))).find((name) => name !== 'lock') ?? '';
    const files = await readdir(join(repository, 'xen', disk, chain));
    const stream = files.find((name) => name.endsWith('.inc.virtnbdbackup.1.data')) ?? assert.fail(files.join());
    assert.match(
      await done(`info ${join(repository, 'xen', disk, chain, stream)}`),
      new RegExp(`^backup +${increment}$`, 'm'),
    );
  });

  it('backs up a machine as a whole and restores every disk into a folder', async () => {
    const data = host.addDisk({ size: 8 * MIB, label: 'data' });
    host.guestWrite(data, 5 * MIB, randomBytes(MIB));
    host.addMachine({ name: 'web01', disks: [disk, data] });
    const id = idOf(await done('--hypervisor xen vm:web01 --compress none --connections 3'));
    assertClean(2);
    await refused(`restore ${id} one.raw`, 2, 'VB_CLI_USAGE');
    await mkdir(join(folder, 'all'));
    await done(`restore ${id} all`);
    const digests = await Promise.all(
      (await readdir(join(folder, 'all'))).map((name) => sha256(join(folder, 'all', name))),
    );
    assert.deepEqual(digests.sort(), [await host.digest(disk), await host.digest(data)].sort());
    await done(`restore ${data}@latest data.raw`);
    assert.equal(await sha256(join(folder, 'data.raw')), await host.digest(data));
  });

  it('restores into a storage repository of the host', async () => {
    const id = idOf(await done(`--hypervisor xen ${disk}`));
    await done(`restore ${id} xen:sr=${host.sr}`);
    const copies = host.records('VDI').filter((vdi) => vdi['uuid'] !== disk && vdi['is_a_snapshot'] === false);
    assert.equal(copies.length, 1);
    const uuid = copies[0]?.['uuid'];
    assert.ok(typeof uuid === 'string');
    assert.equal(await host.digest(uuid), await host.digest(disk));
    assertClean(1);
    await refused(`restore ${id} xen:sr=00000000-0000-0000-0000-000000000000`, 10, 'VB_XEN_SR_NOT_FOUND');
  });

  it('keeps the promise of --json in a real run', async () => {
    const lines = parseJsonLines((await done(`--json --hypervisor xen ${disk}`)).trimEnd().split('\n'));
    assert.deepEqual([lines[0]?.type, lines.at(-2)?.type, lines.at(-1)?.type], ['start', 'summary', 'summary']);
    assert.ok(lines.some((line) => line.type === 'progress' && line.finished !== undefined));
    for (const line of [
      'list',
      'verify',
      `restore ${disk}@latest x.raw`,
      `info ${disk}@latest`,
      'doctor --hypervisor xen',
    ]) {
      parseJsonLines((await done(`--json ${line}`)).trimEnd().split('\n'));
    }
  });

  it('is refused with a wrong password', async () => {
    await refused(`--hypervisor xen ${disk}`, 12, 'VB_XEN_AUTHENTICATION', {
      env: { VBACKUP_XEN_PASSWORD: 'not the password' },
    });
    assertClean(0);
  });

  it('refuses a host with another certificate, and one that nothing vouches for, naming its fingerprint', async () => {
    const other = { VBACKUP_XEN_FINGERPRINT: `sha256:${'0'.repeat(64)}` };
    await refused(`--hypervisor xen ${disk}`, 12, 'VB_XEN_FINGERPRINT_MISMATCH', { env: other });
    const none = { VBACKUP_XEN_FINGERPRINT: '' };
    const err = await refused(`--hypervisor xen ${disk}`, 12, 'VB_XEN_CERTIFICATE_UNTRUSTED', { env: none });
    assert.match(err, new RegExp(`--xen-fingerprint sha256:${host.fingerprint}`));
    assert.deepEqual(host.calls, []);
  });

  it('says 10 for a disk that is not there, and 3 where the others were', async () => {
    const unknown = '00000000-0000-0000-0000-000000000000';
    await refused(`--hypervisor xen ${unknown}`, 10, 'VB_GUEST_NOT_FOUND');
    await refused(`--hypervisor xen ${unknown} ${disk}`, 3, 'VB_GUEST_NOT_FOUND');
    assert.equal((await done('list')).trimEnd().split('\n').length, 2);
    assertClean(1);
  });

  it('says 10 for a repository and a backup that are not there', async () => {
    await refused('list', 10, 'VB_REPOSITORY_NOT_FOUND');
    await refused('verify', 10, 'VB_REPOSITORY_NOT_FOUND');
    await done(`--hypervisor xen ${disk}`);
    await refused('info ffffffffffffffff', 10, 'VB_BACKUP_NOT_FOUND');
    await refused('list web99', 10, 'VB_BACKUP_NOT_FOUND');
  });

  it('says 12 for a repository that cannot be written', async () => {
    await refused(`--hypervisor xen ${disk} -r /sys/vbackup`, 12, 'VB_ACCESS_DENIED');
    assertClean(0);
  });

  it('says 13 for an increment without a base', async () => {
    await refused(`--hypervisor xen ${disk} --level inc`, 13, 'VB_CHAIN_BROKEN');
    assertClean(0);
  });

  it('makes a full with its reason where the host cannot track changes', async () => {
    host.faults.cbtLicensed = false;
    await done(`--hypervisor xen ${disk}`);
    const { code, out } = await vbackup(`--hypervisor xen ${disk}`);
    assert.equal(code, 0);
    assert.match(out, /full \(no-change-tracking\)/);
    assertClean(0);
  });

  it('lets two runs of one disk not work at once: the second says 11', async () => {
    host.faults.nbd.onRead = () => ({ kind: 'delay', delayMs: 50 });
    let second: Promise<CommandResult> | undefined;
    const first = await vbackup(`--hypervisor xen ${disk}`, {
      onText: (text) => {
        if (second === undefined && /xvd|full/.test(text)) second = vbackup(`--hypervisor xen ${disk}`);
      },
    });
    const { code, err } = await (second ?? assert.fail('the second run was never started'));
    assert.deepEqual([first.code, code], [0, 11], `${first.err}\n${err}`);
    assert.match(err, /\[VB_REPOSITORY_LOCKED\]/);
    assertClean(1);
  });

  it('names a damaged manifest, and what else is damaged, and ends with 14', async () => {
    await done(`--hypervisor xen ${disk}`);
    const copy = idOf(await done(`--hypervisor xen ${disk} --level copy`));
    const chains = (await readdir(join(repository, 'xen', disk))).filter((name) => name !== 'lock').sort();
    const [first = '', second = ''] = chains.map((name) => join(repository, 'xen', disk, name));
    const damaged = (await readdir(join(first, '.vbackup'))).includes(`${copy}.json`) ? second : first;
    const whole = damaged === first ? second : first;
    const manifest = (await readdir(join(damaged, '.vbackup'))).find((name) => name.endsWith('.json')) ?? '';
    await writeFile(join(damaged, '.vbackup', manifest), '{');
    const list = await vbackup('list');
    assert.equal(list.code, 0);
    assert.match(list.err, /warning: .*\[VB_MANIFEST_DAMAGED\]/);
    assert.equal(list.out.trimEnd().split('\n').length, 2);

    const stream = (await readdir(whole)).find((name) => name.endsWith('.data')) ?? '';
    const bytes = await readFile(join(whole, stream));
    const middle = Math.floor((await stat(join(whole, stream))).size / 2);
    bytes[middle] = 255 - (bytes[middle] ?? 0);
    await writeFile(join(whole, stream), bytes);
    const { code, out } = await vbackup('verify');
    assert.equal(code, 14);
    assert.match(out, new RegExp(`^${copy}  DAMAGED`, 'm'));
    assert.match(out, /bytes \d+ to \d+ of .*\[VB_FRAME_D/);
    assert.match(out, /\[VB_MANIFEST_DAMAGED\]/);
    await refused(`restore ${copy} x.raw`, 1, 'VB_FRAME_D\\w+');
    await assert.rejects(stat(join(folder, 'x.raw')));
  });

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`releases everything on ${signal} and ends with ${exitCode}`, async () => {
      host.faults.nbd.onRead = () => ({ kind: 'delay', delayMs: 100 });
      let sent = false;
      const { code, err } = await vbackup(`--hypervisor xen ${disk}`, {
        onText: (text, child) => {
          if (!sent && /full/.test(text)) sent = child.kill(signal);
        },
      });
      assert.equal(code, exitCode, err);
      assertClean(0);
      assert.match(err, new RegExp(`interrupted by ${signal} \\[VB_ABORTED\\]`));
      host.faults.clear();
      await done(`--hypervisor xen ${disk}`);
      assert.equal((await done('list')).trimEnd().split('\n').length, 2);
    });
  }

  it('heals what SIGKILL left behind with the next run', async () => {
    await done(`--hypervisor xen ${disk}`);
    host.guestWrite(disk, 0, randomBytes(MIB));
    host.faults.nbd.onRead = () => ({ kind: 'delay', delayMs: 100 });
    const killed = await vbackup(`--hypervisor xen ${disk}`, {
      onText: (text, child) => {
        if (/inc/.test(text)) child.kill('SIGKILL');
      },
    });
    assert.equal(killed.code, 137);
    assert.equal(host.leftovers().snapshots.length, 1);
    assert.match(await done('doctor'), /^warning +leftover: /m);
    host.faults.clear();
    assert.match(await done(`--hypervisor xen ${disk}`), / inc of /);
    host.expireSessions();
    assertClean(1);
    await done('verify');
    await done(`restore ${disk}@latest x.raw`);
    assert.equal(await sha256(join(folder, 'x.raw')), await host.digest(disk));
  });

  it('lets doctor name the missing network for NBD', async () => {
    assert.match(await done('doctor --hypervisor xen'), /^good +xen: connected$/m);
    await using other = await startXapiHost({ nbdPurpose: 'none' });
    const { code, out } = await vbackup('doctor --hypervisor xen', {
      env: { VBACKUP_XEN_URL: other.url, VBACKUP_XEN_FINGERPRINT: `sha256:${other.fingerprint}` },
    });
    assert.equal(code, 1);
    assert.match(out, /^bad +.*nbd/im);
  });
});
