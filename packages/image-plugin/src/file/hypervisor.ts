import type { Diagnosis, Guest, Hypervisor, Leftover, Snapshot, SnapshotRequest, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { loadLibc } from '@vbackup/core/filemap';
import { type FoundImage, findImage } from './find-image.js';
import { recoverLeftover } from './journal.js';
import { type FileContext, takeSnapshot } from './take-snapshot.js';

/** The images and block devices of this machine, as if they were machines of one disk. */
export class FileHypervisor implements Hypervisor {
  readonly #context: FileContext;
  /** By the guest's id: a long path is not in it. */
  readonly #found = new Map<string, FoundImage>();

  constructor(context: FileContext) {
    this.#context = context;
  }

  /** @throws VBackupError VB_GUEST_NOT_FOUND, VB_FILE_TYPE, VB_ACCESS_DENIED */
  async find(selector: string): Promise<Guest> {
    const found = await findImage(selector);
    this.#found.set(found.id, found);
    return found;
  }

  async snapshot(guest: Guest, request: SnapshotRequest, options: WithSignal = {}): Promise<Snapshot> {
    const found = this.#found.get(guest.id) ?? (await findImage(guest.name));
    return takeSnapshot(this.#context, found, request, options);
  }

  recover(leftover: Leftover): Promise<void> {
    return recoverLeftover(leftover);
  }

  async *diagnose(): AsyncGenerator<Diagnosis> {
    const libc = await loadLibc();
    yield libc === null
      ? { name: 'holes', state: 'warning', detail: 'cannot be asked for on this machine: files are read as a whole' }
      : { name: 'holes', state: 'good', detail: 'the file system is asked for them' };
    for (const program of ['qemu-img', 'qemu-nbd'] as const) yield await qemuDiagnosis(program);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function qemuDiagnosis(program: 'qemu-img' | 'qemu-nbd'): Promise<Diagnosis> {
  const { qemuVersion } = await import('@vbackup/core/qemu');
  try {
    return { name: program, state: 'good', detail: await qemuVersion(program) };
  } catch (error) {
    if (!(error instanceof VBackupError)) throw error;
    const { message, cure } = error;
    return { name: program, state: 'warning', detail: `${message}; raw images do not need it`, cure };
  }
}
