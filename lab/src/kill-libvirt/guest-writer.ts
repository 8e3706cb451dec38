import { setTimeout as delay } from 'node:timers/promises';
import { deviceOf, type LabDomain, type Qmp } from '../libvirt/index.js';
import type { GuestWrite, History } from './history.js';

const KiB = 1024;
const PAUSE_MS = 8;
const LENGTHS = [512, 4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB] as const;
const ZEROING = ['write -z', 'write -z -u'] as const;

/** A disk that is written to. */
export interface WrittenDisk {
  readonly target: string;
  readonly size: number;
}

export interface WriterOptions {
  readonly domain: LabDomain;
  readonly disks: readonly WrittenDisk[];
  readonly history: History;
  readonly random: () => number;
}

/**
 * Writes to the disks of a running guest as the guest would, one write after the other, until it is stopped or QEMU is gone.
 * It needs no libvirtd.
 */
export class GuestWriter {
  readonly #options: WriterOptions;
  readonly #monitor: Qmp;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #fault: unknown = null;

  static async start(options: WriterOptions): Promise<GuestWriter> {
    return new GuestWriter(options, await options.domain.monitor());
  }

  private constructor(options: WriterOptions, monitor: Qmp) {
    this.#options = options;
    this.#monitor = monitor;
    this.#running = this.#run();
  }

  /** No write is under way any more. @returns why it stopped earlier, if it did */
  async stop(): Promise<unknown> {
    this.#stop.abort();
    await this.#running;
    await this.#monitor[Symbol.asyncDispose]();
    return this.#fault;
  }

  async #run(): Promise<void> {
    const { history } = this.#options;
    while (!this.#stop.signal.aborted) {
      const { write, command } = this.#next();
      // Noted before it is made: QEMU may die behind it, and a backup may hold it before its answer is here.
      history.add(write);
      const line = `qemu-io -d ${deviceOf(write.target)} "${command} ${write.offset} ${write.length}"`;
      try {
        await this.#monitor.execute('human-monitor-command', { 'command-line': line });
      } catch (error) {
        this.#fault = error;
        return;
      }
      await delay(PAUSE_MS);
    }
  }

  #next(): { readonly write: GuestWrite; readonly command: string } {
    const { disks, random } = this.#options;
    const pick = <T>(from: readonly [T, ...T[]]): T => from[Math.floor(random() * from.length)] ?? from[0];
    const [first] = disks;
    if (first === undefined) throw new Error('there is no disk to write to');
    const { target, size } = pick([first, ...disks.slice(1)]);
    const length = pick(LENGTHS);
    const offset = Math.floor((random() * (size - length)) / 512) * 512;
    if (random() < 0.3) return { write: { target, offset, length, value: 0 }, command: pick(ZEROING) };
    const value = 1 + Math.floor(random() * 255);
    return { write: { target, offset, length, value }, command: `write -P ${value}` };
  }
}
