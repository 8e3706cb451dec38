import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startXapiHost, type XapiHost } from '@vbackup/lab';
import { type CommandOptions, type CommandResult, runCommand } from './command.js';

export const MIB = 2 ** 20;
const HOLD_MS = 8000;
/** What a host holds between two backups of one disk, besides the base; and nothing else. */
const CLEAN = { snapshots: [], machineSnapshots: [], exports: [], tasks: [], sessions: 0 };

/** A host with one disk, an empty folder, and the command as a user would run it there. */
export class XenFixture implements AsyncDisposable {
  readonly host: XapiHost;
  readonly folder: string;
  readonly repository: string;
  /** The uuid of a disk of 64 MiB with 4 MiB of data. */
  readonly disk: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(host: XapiHost, folder: string) {
    this.host = host;
    this.folder = folder;
    this.repository = join(folder, 'repository');
    this.disk = host.addDisk({ size: 64 * MIB, label: 'root of web01' });
    host.guestWrite(this.disk, 0, randomBytes(3 * MIB));
    host.guestWrite(this.disk, 40 * MIB + 512, randomBytes(MIB));
    this.env = {
      VBACKUP_REPOSITORY: this.repository,
      VBACKUP_XEN_URL: host.url,
      VBACKUP_XEN_FINGERPRINT: `sha256:${host.fingerprint}`,
      VBACKUP_XEN_PASSWORD_FILE: join(folder, 'password'),
    };
  }

  static async start(): Promise<XenFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-xen-'));
    const host = await startXapiHost();
    await writeFile(join(folder, 'password'), `${host.password}\n`);
    return new XenFixture(host, folder);
  }

  run(line: string, options: CommandOptions = {}): Promise<CommandResult> {
    const args = line.split(' ').filter(Boolean);
    return runCommand(args, { cwd: this.folder, ...options, env: { ...this.env, ...options.env } });
  }

  /** Runs it, expects success, and gives its standard output. */
  async done(line: string): Promise<string> {
    const { code, out, err } = await this.run(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  }

  /** Runs it, expects that exit code and that error, and gives its standard error. */
  async refused(line: string, exitCode: number, code: string, options: CommandOptions = {}): Promise<string> {
    const result = await this.run(line, options);
    assert.equal(result.code, exitCode, `vbackup ${line}\n${result.out}${result.err}`);
    assert.match(result.err, new RegExp(`^vbackup: .*\\[${code}\\]$`, 'm'));
    assert.ok(!result.err.includes(this.host.password));
    return result.err;
  }

  /** A full backup of the disk, and its id. */
  async backUp(options = ''): Promise<string> {
    return idOf(await this.done(`--hypervisor xen ${this.disk} ${options}`));
  }

  /** The newest backup holds what the disk holds now. */
  async assertRestores(): Promise<void> {
    await this.done(`restore ${this.disk}@latest restored.raw --force`);
    assert.equal(await this.sha256('restored.raw'), await this.host.digest(this.disk));
  }

  /** The first read of a run takes so long that the run is caught in the middle, however slow this machine is. */
  holdFirstRead(): void {
    let held = false;
    this.host.faults.nbd.onRead = () => {
      if (held) return undefined;
      held = true;
      return { kind: 'delay', delayMs: HOLD_MS };
    };
  }

  /** Nothing is left on the host but so many bases. */
  assertClean(bases: number): void {
    const { bases: left, ...rest } = this.host.leftovers();
    assert.deepEqual(rest, CLEAN);
    assert.equal(left.length, bases);
  }

  async sha256(name: string): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(join(this.folder, name))) hash.update(chunk);
    return hash.digest('hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true });
  }
}

/** The id that a line of output begins with. */
export const idOf = (line: string): string => /^[0-9a-f]{16}/.exec(line)?.[0] ?? assert.fail(`no id in ${line}`);
