import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabDisk } from './domain-xml.js';
import { processesNaming, signal } from './processes.js';
import { Qmp } from './qmp.js';

const POLL_MS = 100;
const AGENT_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 60_000;
const COMMAND_TIMEOUT_MS = 60_000;
const QEMU_IO_DONE = /^(wrote|read|discard) \d+\/\d+ bytes/m;
const QEMU_IO_FAILED = /failed|error|invalid|not found|denied|non-numeric|unsupported/i;

/** What a domain needs of its lab. */
export interface DomainHost {
  virsh(...args: readonly string[]): Promise<string>;
  /** The file that QEMU writes its own output to. */
  domainLog(name: string): string;
  readonly folder: string;
}

/** A defined domain of a lab. */
export class LabDomain {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly LabDisk[];
  readonly serialLog: string;
  readonly #host: DomainHost;
  readonly #monitor: string | null;

  constructor(
    host: DomainHost,
    parts: {
      readonly name: string;
      readonly uuid: string;
      readonly disks: readonly LabDisk[];
      readonly serialLog: string;
      readonly monitor: string | null;
    },
  ) {
    this.#host = host;
    this.name = parts.name;
    this.uuid = parts.uuid;
    this.disks = parts.disks;
    this.serialLog = parts.serialLog;
    this.#monitor = parts.monitor;
  }

  disk(target: string): LabDisk {
    const found = this.disks.find((disk) => disk.target === target);
    if (found === undefined) throw new Error(`${this.name} has no disk ${target}`);
    return found;
  }

  async start(): Promise<void> {
    await this.#host.virsh('start', this.name);
  }

  /** `running`, `paused`, `shut off`, as virsh says it. */
  async state(): Promise<string> {
    return (await this.#host.virsh('domstate', this.name)).trim();
  }

  /** Stops it at once; `graceful` leaves QEMU the time to write its bitmaps. */
  async destroy(options: { readonly graceful?: boolean } = {}): Promise<void> {
    await this.#host.virsh('destroy', this.name, ...(options.graceful === true ? ['--graceful'] : []));
  }

  /** Asks the guest through its agent, and waits until it is off. */
  async shutdown(): Promise<void> {
    await this.#host.virsh('shutdown', this.name, '--mode=agent');
    await until(`${this.name} is off`, STOP_TIMEOUT_MS, async () => (await this.state()) === 'shut off');
  }

  /** Returns when the guest's agent answers. */
  async waitForAgent(): Promise<void> {
    await until(`the agent of ${this.name} answers`, AGENT_TIMEOUT_MS, () =>
      this.agent('guest-ping').then(
        () => true,
        () => false,
      ),
    );
  }

  /** A command of the guest agent's own protocol; returns what stands behind `return`. */
  async agent(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const question = JSON.stringify({ execute: command, arguments: args });
    const answer: unknown = JSON.parse(await this.#host.virsh('qemu-agent-command', this.name, question));
    return field(answer, 'return');
  }

  /** Runs a program in the guest, and returns what it printed. @throws Error if it does not end with 0 */
  async run(program: string, ...args: readonly string[]): Promise<string> {
    const begun = await this.agent('guest-exec', { path: program, arg: args, 'capture-output': true });
    const pid = field(begun, 'pid');
    let answer: unknown;
    await until(`${program} ends in ${this.name}`, COMMAND_TIMEOUT_MS, async () => {
      answer = await this.agent('guest-exec-status', { pid });
      return field(answer, 'exited') === true;
    });
    const output = text(field(answer, 'out-data'));
    if (field(answer, 'exitcode') === 0) return output;
    throw new Error(`${program} ${args.join(' ')} in ${this.name}: ${text(field(answer, 'err-data'))}${output}`);
  }

  /**
   * Reads or writes a disk as if the guest did, with a command of qemu-io: `write -P 0xaa 0 64k`, `write -z 1M 64k`,
   * `discard 0 64k`, `read -P 0xaa 0 64k`. Needs no operating system in the guest.
   * @throws Error if it fails, also because a `read -P` finds other bytes
   */
  async dirty(target: string, command: string): Promise<void> {
    const device = deviceOf(target);
    const before = (await this.log()).length;
    const question = `qemu-io -d ${device} "${command}"`;
    let told = await this.#host.virsh('qemu-monitor-command', this.name, '--hmp', question);
    // QEMU tells the result not to the monitor but to its log.
    await until(`qemu-io says what became of ${command}`, COMMAND_TIMEOUT_MS, async () => {
      told += (await this.log()).slice(before);
      return QEMU_IO_DONE.test(told) || QEMU_IO_FAILED.test(told);
    });
    if (QEMU_IO_FAILED.test(told)) throw new Error(`qemu-io ${command} on ${target} of ${this.name}: ${told.trim()}`);
  }

  /** A connection to the monitor that it was defined with; it runs, and nobody else is connected. */
  monitor(): Promise<Qmp> {
    if (this.#monitor === null) throw new Error(`${this.name} was defined without a monitor for the test`);
    return Qmp.connect(this.#monitor);
  }

  /** The pid of its QEMU on this machine. */
  async pid(): Promise<number> {
    const found = (await processesNaming(`guest=${this.name},`)).find(
      ({ program, args }) => program.startsWith('qemu-system') && args.some((arg) => arg.includes(this.#host.folder)),
    );
    if (found === undefined) throw new Error(`${this.name} has no QEMU`);
    return found.pid;
  }

  /** What happens when the host crashes: QEMU ends without a word. Returns when the daemon has seen it. */
  async kill(): Promise<void> {
    signal(await this.pid(), 'SIGKILL');
    await until(`${this.name} is off`, STOP_TIMEOUT_MS, async () => (await this.state()) === 'shut off');
  }

  /** What QEMU wrote to its own log. */
  async log(): Promise<string> {
    return readFile(this.#host.domainLog(this.name), 'utf8');
  }
}

/** QEMU's path of a disk on virtio or SCSI, for `qemu-io -d`. */
export function deviceOf(target: string): string {
  const index = target.charCodeAt(2) - 'a'.charCodeAt(0);
  const scsi = target.startsWith('sd');
  return scsi ? `/machine/peripheral/scsi0-0-0-${index}` : `/machine/peripheral/virtio-disk${index}/virtio-backend`;
}

/** Asks until the answer is yes. */
export async function until(what: string, timeoutMs: number, question: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(timeoutMs);
  while (!(await question())) {
    if (deadline.aborted) throw new Error(`waited in vain until ${what}`);
    await delay(POLL_MS);
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(name) : undefined;
}

const text = (base64: unknown): string =>
  typeof base64 === 'string' ? Buffer.from(base64, 'base64').toString('utf8') : '';
