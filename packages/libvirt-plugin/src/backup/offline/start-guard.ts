import { stat } from 'node:fs/promises';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { DomainFacts, LibvirtConnection } from '../../connection/index.js';
import type { LibvirtContext } from '../context.js';
import { domainOrNull } from '../release.js';
import type { OfflineDisk } from './offline-disks.js';

/**
 * Sees whether a domain that is off was started while its images are read. QEMU cannot open an image that qemu-nbd has open,
 * because of the locks that both hold on it, unless it is raw: those are what this is for.
 */
export class StartGuard implements Disposable {
  readonly #context: LibvirtContext;
  readonly #libvirt: LibvirtConnection;
  readonly #before: DomainFacts;
  readonly #listener: Disposable;
  #stamps: ReadonlyMap<string, string> = new Map();
  #started = false;
  #warned = false;

  /** Sees what happens from now on. @param facts - asked for later than this is made, they say that the domain is off */
  constructor(context: LibvirtContext, libvirt: LibvirtConnection, facts: DomainFacts) {
    this.#context = context;
    this.#libvirt = libvirt;
    this.#before = facts;
    this.#listener = libvirt.onEvent((event) => {
      if (event.kind === 'lifecycle' && event.domain === facts.uuid && event.change === 'started') this.#started = true;
    });
  }

  /** Remembers the images as they are; to be called when all of them are open for reading. */
  async watch(disks: readonly OfflineDisk[]): Promise<void> {
    // One lock keeps the whole domain from starting.
    if (disks.some(({ format }) => format !== 'raw')) return;
    this.#stamps = new Map(await Promise.all(disks.map(async ({ path }) => [path, await stampOf(path)] as const)));
  }

  /** @throws VBackupError VB_LIBVIRT_STARTED */
  async confirm(options: WithSignal = {}): Promise<void> {
    const { uuid, name, startFailed } = this.#before;
    const facts = await domainOrNull(await this.#context.link.get(), uuid, options);
    if (this.#started || facts?.active === true) throw started(name, 'it was started');
    if (facts?.startFailed === true && startFailed === false && !this.#warned) {
      this.#warned = true;
      const message = `somebody tried to start ${name} while its disks were read: QEMU could not open them`;
      this.#context.warn({ code: 'VB_LIBVIRT_START_REFUSED', message });
    }
    if (this.#stamps.size === 0) return;
    // A domain that was started and stopped again left no other trace.
    if (this.#libvirt.lost.aborted) throw started(name, 'the connection to libvirt was lost, so that nobody knows');
    for (const [path, stamp] of this.#stamps) {
      if ((await stampOf(path)) !== stamp) throw started(name, `${path} was written to`);
    }
  }

  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
  }
}

/** The error that what failed really was, if the domain runs by now. */
export async function explainStart(context: LibvirtContext, facts: DomainFacts, error: unknown): Promise<unknown> {
  const asked = context.link.get().then((libvirt) => libvirt.findDomain({ uuid: facts.uuid }));
  const now = await asked.catch(() => null);
  return now?.active === true ? started(facts.name, 'it was started', error) : error;
}

/** Every write changes it. Of a device it says nothing but which one it is. */
async function stampOf(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true });
  const { dev, ino, rdev, size, mtimeNs, ctimeNs } = facts;
  return [dev, ino, ...(facts.isBlockDevice() ? [rdev] : [size, mtimeNs, ctimeNs])].join();
}

const started = (name: string, how: string, cause?: unknown): VBackupError =>
  new VBackupError('VB_LIBVIRT_STARTED', `the domain ${name} may have run while its disks were read: ${how}`, {
    cause,
    cure: 'run the backup again: it takes a guest that runs as well as one that is off',
  });
