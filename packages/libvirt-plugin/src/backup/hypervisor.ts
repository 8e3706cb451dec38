import type {
  Diagnosis,
  ExistingDisk,
  ExistingDisksRequest,
  Guest,
  Hypervisor,
  Leftover,
  MachineRequest,
  PreparedMachine,
  Snapshot,
  SnapshotRequest,
  WithSignal,
} from '@vbackup/core';
import { diagnoseHost } from '../diagnose.js';
import { existingDisks, prepareMachine } from '../restore/index.js';
import type { LibvirtContext } from './context.js';
import { diagnoseDisks } from './diagnose-disks.js';
import { findGuest } from './find-guest.js';
import { recoverLeftover } from './recovery.js';
import { takeSnapshot } from './snapshot.js';

/** A connection to one libvirt daemon. */
export class LibvirtHypervisor implements Hypervisor {
  readonly #context: LibvirtContext;

  constructor(context: LibvirtContext) {
    this.#context = context;
  }

  async find(selector: string, options: WithSignal = {}): Promise<Guest> {
    return findGuest(await this.#context.link.get(), selector, options);
  }

  snapshot(guest: Guest, request: SnapshotRequest, options: WithSignal = {}): Promise<Snapshot> {
    return takeSnapshot(this.#context, guest, request, options);
  }

  recover(leftover: Leftover, options: WithSignal = {}): Promise<void> {
    return recoverLeftover(this.#context, leftover, options);
  }

  async existingDisks(request: ExistingDisksRequest, options: WithSignal = {}): Promise<readonly ExistingDisk[]> {
    return existingDisks(this.#context, request, options);
  }

  async prepareMachine(request: MachineRequest, options: WithSignal = {}): Promise<PreparedMachine> {
    return prepareMachine(this.#context, request, options);
  }

  async *diagnose(options: WithSignal = {}): AsyncIterable<Diagnosis> {
    const libvirt = await this.#context.link.get();
    yield* diagnoseHost(libvirt, options);
    yield await diagnoseDisks(this.#context, libvirt, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.link[Symbol.asyncDispose]();
  }
}
