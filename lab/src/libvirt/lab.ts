import { randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Authority, makeAuthority } from '../pki/index.js';
import { daemonConfig, type LabMode, qemuConfig } from './daemon-config.js';
import { type DomainHost, LabDomain, until } from './domain.js';
import {
  DEFAULT_DISKS,
  type LabDisk,
  type LabDiskOptions,
  type LabDomainOptions,
  labDomainXml,
  MiB,
} from './domain-xml.js';
import { cacheFolder, type GuestImage, guestImage, labScript } from './guest-image.js';
import { type LabPaths, labPaths } from './paths.js';
import { writePkiFolder } from './pki-folder.js';
import { killProcessesNaming, processesNaming, signal } from './processes.js';
import { run } from './program.js';
import { isRoot, Supervisor } from './supervisor.js';

/** What the lab needs to be installed. */
export const LIBVIRT_LAB_TOOLS = ['libvirtd', 'virsh', 'qemu-system-x86_64', 'qemu-img', 'unshare', 'setpriv'] as const;
/** And to build the guest with an agent. */
export const LIBVIRT_GUEST_TOOLS = ['apt-get', 'apt-cache', 'dpkg-deb', 'depmod', 'cpio', 'gzip'] as const;

export interface LibvirtLabOptions {
  /** How the daemon runs; default `system` where that is possible. */
  readonly mode?: LabMode;
}

const START_TIMEOUT_MS = 60_000;
const VIRSH_TIMEOUT_MS = 180_000;
const LOG_SHOWN = 4000;

/**
 * Starts a private libvirtd: its own configuration, sockets, images and certificates in a new folder, nothing of the
 * machine's own libvirt. Several may run at once. Disposing kills it with all its domains and removes the folder.
 */
export async function startLibvirtLab(options: LibvirtLabOptions = {}): Promise<LibvirtLab> {
  const mode = options.mode ?? (await possibleMode());
  const folder = await mkdtemp(join(tmpdir(), 'vb-lv-'));
  try {
    const paths = labPaths(folder);
    const authority = await makeAuthority({ name: 'vbackup libvirt lab', keyType: 'ec' });
    const tlsPort = await freePort();
    await prepare(mode, paths, authority, tlsPort);
    const lab = new LibvirtLab({ mode, paths, authority, tlsPort, supervisor: await Supervisor.start(mode, paths) });
    try {
      await lab.startDaemon();
      await keepCapabilities(mode, paths);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

interface LabParts {
  readonly mode: LabMode;
  readonly paths: LabPaths;
  readonly authority: Authority;
  readonly tlsPort: number;
  readonly supervisor: Supervisor;
}

/** A running libvirtd with what was defined in it. */
export class LibvirtLab implements AsyncDisposable {
  readonly #parts: LabParts;

  constructor(parts: LabParts) {
    this.#parts = parts;
  }

  get folder(): string {
    return this.#parts.paths.folder;
  }

  /** Where images lie; tests put scratch files and sockets beside them. */
  get images(): string {
    return this.#parts.paths.images;
  }

  /**
   * A folder on a file system of 1 MiB, for scratch files that must become full. Its content is seen only by the daemon and
   * its guests. Null where the lab may not mount.
   */
  get smallFolder(): string | null {
    return this.#parts.mode === 'system' ? this.#parts.paths.small : null;
  }

  /** ca-cert.pem, client-cert.pem, client-key.pem (NBD with TLS), and the names that libvirt's client wants. */
  get pki(): string {
    return this.#parts.paths.pki;
  }

  get authority(): Authority {
    return this.#parts.authority;
  }

  get uri(): string {
    return `qemu:///${this.#scope}?socket=${this.#parts.paths.socket}`;
  }

  /** The same daemon over TLS. @param pki - a folder with another client's credentials */
  tlsUri(pki: string = this.pki): string {
    return `qemu+tls://127.0.0.1:${this.#parts.tlsPort}/${this.#scope}?pkipath=${pki}`;
  }

  virsh(...args: readonly string[]): Promise<string> {
    return run('virsh', ['-q', '-c', this.uri, ...args], { timeoutMs: VIRSH_TIMEOUT_MS });
  }

  /** Makes the images of a domain, and defines it. It is not started. */
  async define(options: LabDomainOptions = {}): Promise<LabDomain> {
    const { name = 'vbtest', guest = 'agent' } = options;
    const uuid = randomUUID();
    const disks: LabDisk[] = [];
    for (const disk of options.disks ?? DEFAULT_DISKS) disks.push(await this.#makeDisk(name, disk));
    const serialLog = join(this.folder, `${name}-serial.log`);
    const monitor = options.monitor === true ? join(this.folder, `${name}.qmp`) : null;
    const xml = labDomainXml({
      name,
      uuid,
      disks,
      serialLog,
      image: guest === 'agent' ? await this.guestImage() : null,
      commandLine: options.commandLine ?? '',
      agentChannel: options.withoutAgentChannel !== true,
      devices: options.devices ?? '',
      monitor,
    });
    const file = join(this.folder, `${name}.xml`);
    await writeFile(file, xml);
    await this.virsh('define', file);
    return new LabDomain(this.#host, { name, uuid, disks, serialLog, monitor });
  }

  /** A domain that someone else defined; nothing is known of its disks. */
  async domain(name: string): Promise<LabDomain> {
    const uuid = (await this.virsh('domuuid', name)).trim();
    return new LabDomain(this.#host, { name, uuid, disks: [], serialLog: '', monitor: null });
  }

  /** The kernel and initrd of guests with an agent, where the daemon may read them. */
  async guestImage(): Promise<GuestImage> {
    const kernel = join(this.folder, 'vmlinuz');
    const initrd = join(this.folder, 'initrd.gz');
    if (!existsSync(initrd)) {
      const built = await guestImage();
      await copyFile(built.kernel, kernel, constants.COPYFILE_FICLONE);
      await copyFile(built.initrd, initrd, constants.COPYFILE_FICLONE);
      for (const file of [kernel, initrd]) await chmod(file, 0o644);
    }
    return { kernel, initrd };
  }

  /** Starts the daemon, the first time or after it was killed, and waits until it answers; else says what it logged. */
  async startDaemon(): Promise<void> {
    this.#parts.supervisor.startDaemon();
    await this.#daemonAnswers().catch(async (error: unknown) => {
      const log = (await this.daemonLog()).slice(-LOG_SHOWN);
      throw new Error(`${error instanceof Error ? error.message : String(error)}; it logged: ${log}`, { cause: error });
    });
  }

  async #daemonAnswers(): Promise<void> {
    await until('libvirtd answers', START_TIMEOUT_MS, () =>
      existsSync(this.#parts.paths.socket)
        ? this.virsh('version').then(
            () => true,
            () => false,
          )
        : Promise.resolve(false),
    );
  }

  /** The pid of the daemon on this machine. */
  async daemonPid(): Promise<number> {
    const found = (await processesNaming(this.#parts.paths.daemonConfig)).find(({ program }) => program === 'libvirtd');
    if (found === undefined) throw new Error('libvirtd does not run');
    return found.pid;
  }

  /** SIGSTOP: every call hangs until SIGCONT. SIGKILL: it is gone, its domains run on, until `startDaemon`. */
  async signalDaemon(name: NodeJS.Signals): Promise<void> {
    const pid = await this.daemonPid();
    signal(pid, name);
    if (name !== 'SIGKILL') return;
    await until('libvirtd is gone', START_TIMEOUT_MS, async () =>
      (await processesNaming(this.#parts.paths.daemonConfig)).every((each) => each.pid !== pid),
    );
  }

  /**
   * For `--libvirt-repair`: makes the daemon forget a job of a domain that it lost when it was killed. The daemon is killed and
   * started again.
   */
  get repairProgram(): string {
    return join(this.folder, 'repair');
  }

  /** What the daemon logged and printed. */
  async daemonLog(): Promise<string> {
    const { daemonLog, daemonOutput } = this.#parts.paths;
    const texts = [daemonLog, daemonOutput].map((path) => readFile(path, 'utf8').catch(() => ''));
    return (await Promise.all(texts)).join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.supervisor.end();
    // In mode `user` there is no namespace whose end would kill them.
    await killProcessesNaming(`${this.folder}/`);
    await rm(this.folder, { recursive: true, force: true });
  }

  get #host(): DomainHost {
    return {
      folder: this.folder,
      virsh: (...args) => this.virsh(...args),
      domainLog: (domain) => join(this.#domainLogs, `${domain}.log`),
    };
  }

  get #scope(): string {
    return this.#parts.mode === 'system' ? 'system' : 'session';
  }

  get #domainLogs(): string {
    const { mode, paths } = this.#parts;
    return mode === 'system' ? join(paths.state, 'log', 'qemu') : join(paths.home, 'cache', 'libvirt', 'qemu', 'log');
  }

  async #makeDisk(name: string, options: LabDiskOptions): Promise<LabDisk> {
    const { target, format = 'qcow2', device = 'disk', readOnly = device === 'cdrom' } = options;
    const path = options.path ?? join(this.images, `${name}-${target}.${format}`);
    if (options.path === undefined) {
      const extra = options.createOptions === undefined ? [] : ['-o', options.createOptions];
      await run('qemu-img', ['create', '-q', '-f', format, ...extra, path, String(options.size ?? 64 * MiB)]);
      await giveToDaemon(this.#parts.mode, path);
    }
    return { target, path, format, device, readOnly };
  }
}

/** What this user may do. */
async function possibleMode(): Promise<LabMode> {
  if (!isRoot()) return 'user';
  return run('unshare', ['--mount', '--pid', '--fork', 'true']).then(
    () => 'system',
    () => 'user',
  );
}

async function prepare(mode: LabMode, paths: LabPaths, authority: Authority, tlsPort: number): Promise<void> {
  const configuration = join(paths.home, 'config', 'libvirt');
  for (const each of [paths.run, paths.etc, paths.images, paths.small, configuration])
    await mkdir(each, { recursive: true });
  for (const each of ['lib', 'cache', 'run', 'log']) await mkdir(join(paths.state, each), { recursive: true });
  await writePkiFolder(paths.pki, authority);
  const qemuFolder = mode === 'system' ? paths.etc : configuration;
  await writeFile(join(qemuFolder, 'qemu.conf'), qemuConfig(mode, paths));
  await writeFile(paths.daemonConfig, daemonConfig(paths, tlsPort));
  const notes = mode === 'system' ? join(paths.state, 'run', 'qemu') : join(paths.run, 'libvirt', 'qemu', 'run');
  const repair = `#!/bin/sh\nexec bash '${labScript('forget-job.sh')}' '${paths.folder}' '${notes}' "$1"\n`;
  await writeFile(join(paths.folder, 'repair'), repair, { mode: 0o755 });
  const [kept, used] = capabilityFolders(mode, paths);
  if (existsSync(kept)) await cp(kept, used, { recursive: true, preserveTimestamps: true });
  await chmod(paths.folder, 0o755);
  await giveToDaemon(mode, paths.folder);
}

/** libvirt asks QEMU what it can do, which takes seconds, and keeps the answer until QEMU or libvirt change. */
function capabilityFolders(mode: LabMode, paths: LabPaths): readonly [kept: string, used: string] {
  const used =
    mode === 'system' ? join(paths.state, 'cache', 'qemu') : join(paths.home, 'cache', 'libvirt', 'qemu', 'cache');
  return [join(cacheFolder(), `capabilities-${mode}`), join(used, 'capabilities')];
}

async function keepCapabilities(mode: LabMode, paths: LabPaths): Promise<void> {
  const [kept, used] = capabilityFolders(mode, paths);
  if (!existsSync(used) || existsSync(kept)) return;
  await mkdir(dirname(kept), { recursive: true });
  await cp(used, kept, { recursive: true, preserveTimestamps: true });
}

/** A daemon that root runs as nobody must own its files. */
async function giveToDaemon(mode: LabMode, path: string): Promise<void> {
  if (mode === 'system' || !isRoot()) return;
  const [uid, gid] = [Number(await run('id', ['-u', 'nobody'])), Number(await run('id', ['-g', 'nobody']))];
  await chown(path, uid, gid);
  const below = await readdir(path, { recursive: true }).catch(() => []);
  for (const each of below) await chown(join(path, each), uid, gid).catch(() => undefined);
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address === 'object' && address !== null) return address.port;
  throw new Error('no free port');
}
