import type { BlockDevice, ExistingDisk, Repository } from '@vbackup/core';
import type { CommandContext, Outcome } from '../commands/command.js';
import { EXIT } from '../exit-codes.js';
import { existingDisks, type InPlaceQuestion } from './plan-in-place.js';

type Request = InPlaceQuestion & { readonly repository: Repository };

/**
 * Writes what differs into disks that are there. All of them are open from before the first byte until after the last: a machine
 * that is started meanwhile is stopped by the lock of its first disk, before it marks the bitmaps of another one as in use.
 */
export async function restoreInPlace(context: CommandContext, request: Request): Promise<Outcome> {
  const found = await existingDisks(context, request);
  const devices: BlockDevice[] = [];
  try {
    for (const [at, existing] of found.entries()) {
      const disk = request.manifest.disks.find(({ name }) => name === request.disks[at]);
      const specification = { size: disk?.size ?? 0, label: `${disk?.name} of ${request.manifest.id}` };
      devices.push(await existing.open(specification, { signal: context.signal }));
    }
    for (const [at, device] of devices.entries()) {
      const [disk, existing] = [request.disks[at], found[at]];
      if (disk !== undefined && existing !== undefined) await write(context, request, { disk, existing, device });
    }
  } finally {
    for (const device of devices) await device[Symbol.asyncDispose]();
  }
  return { done: devices.length, failed: 0, exitCode: EXIT.done };
}

interface Step {
  readonly disk: string;
  readonly existing: ExistingDisk;
  readonly device: BlockDevice;
}

async function write(context: CommandContext, request: Request, { disk, existing, device }: Step): Promise<void> {
  const { output, signal } = context;
  const { repository, manifest } = request;
  const { runRestoreInPlace } = await context.work();
  const { label } = existing;
  const onEvent = output.work;
  const summary = await runRestoreInPlace({ repository, manifest, disk, device, label, signal, onEvent });
  const { size, written, elapsedMs } = summary;
  const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id, inPlace: true } as const;
  output.item({ ...item, disk, target: label, size, written, elapsedMs });
}
