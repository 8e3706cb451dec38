import { resolve } from 'node:path';
import type * as CoreModule from '@vbackup/core';
import type { NamedDisk, OverlayFolder, ServedDisk } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';

type Core = typeof CoreModule;

/** Disks that are open, and the folder of what is written to them. */
export interface OpenDisks extends AsyncDisposable {
  readonly opened: readonly ServedDisk[];
}

/**
 * Opens the disks; with `--writable` each below an overlay of its own. The first to be opened is the last to be closed.
 * @throws VBackupError VB_OVERLAY_LOCKED, VB_OVERLAY_OTHER, VB_OVERLAY_DAMAGED, and what opening a disk throws
 */
export async function openDisks(
  { invocation: { options }, world, signal }: CommandContext,
  core: Core,
  named: readonly NamedDisk[],
): Promise<OpenDisks> {
  const writable = options.text('writable');
  const folder = writable === undefined ? undefined : await core.OverlayFolder.open(resolve(world.cwd, writable));
  const disks = new Disks(folder);
  try {
    for (const { name, disk, overlay } of named) {
      const opened = await disk.open(name, { signal });
      disks.opened.push(opened);
      if (folder === undefined) continue;
      const overlaid = await folder.layOver(opened, overlay);
      // Which closes the one beneath.
      disks.opened.splice(-1, 1, overlaid);
    }
  } catch (error) {
    await disks[Symbol.asyncDispose]();
    throw error;
  }
  return disks;
}

class Disks implements OpenDisks {
  readonly opened: ServedDisk[] = [];
  readonly #folder: OverlayFolder | undefined;

  constructor(folder: OverlayFolder | undefined) {
    this.#folder = folder;
  }

  /** Closes all of them, whatever becomes of one, and fails with the first failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed: PromiseSettledResult<void>[] = [];
    for (const disk of this.opened.splice(0).toReversed()) {
      closed.push(...(await Promise.allSettled([disk[Symbol.asyncDispose]()])));
    }
    await this.#folder?.[Symbol.asyncDispose]();
    for (const one of closed) if (one.status === 'rejected') throw one.reason;
  }
}
