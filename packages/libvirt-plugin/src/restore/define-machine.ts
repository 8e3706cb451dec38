import { join } from 'node:path';
import type { DefinedMachine, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { writeDurably } from '@vbackup/core/storage';
import type { LibvirtContext } from '../backup/context.js';
import { isOurs } from '../checkpoint/index.js';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';
import { exists, type PlacedFile } from './boot-files.js';
import { freePlace, type PlaceQuestion } from './free-place.js';

/** A domain whose disks are there. */
export interface Machine {
  readonly place: Omit<PlaceQuestion, 'signal'>;
  readonly xml: string;
  readonly files: readonly PlacedFile[];
  readonly folder: string;
  readonly autostart: boolean;
}

/** @throws VBackupError VB_LIBVIRT_DEFINE; the disks stay, and the definition lies beside them */
export async function defineMachine(
  context: LibvirtContext,
  machine: Machine,
  options: WithSignal = {},
): Promise<DefinedMachine> {
  const { name } = machine.place;
  const libvirt = await context.link.get();
  const { id, replaced } = await takeDefinition(libvirt, machine, options);
  try {
    if (replaced !== null) await forgetCheckpoints(libvirt, id, options);
    const { autostart } = machine;
    if (autostart || replaced?.autostart === true) await libvirt.setAutostart(id, autostart, options);
  } catch (error) {
    // The domain is there, and can be started.
    const message = `${name} is defined, but libvirt still has its old checkpoints, or its old autostart: ${wordsOf(error)}`;
    context.warn({ code: 'VB_LIBVIRT_RESTORED', message });
  }
  return { name, id };
}

async function takeDefinition(
  libvirt: LibvirtConnection,
  { place, xml, files, folder }: Machine,
  options: WithSignal,
): Promise<{ readonly id: string; readonly replaced: DomainFacts | null }> {
  try {
    // Once more: a restore takes hours, and somebody may have defined or started the domain meanwhile.
    const replaced = await freePlace(libvirt, { ...place, ...options });
    for (const { path, content } of files) await writeDurably(path, content);
    return { id: (await libvirt.defineDomain(xml, options)).uuid, replaced };
  } catch (cause) {
    const { name } = place;
    const message = `the disks are restored, but ${name} is not defined: ${wordsOf(cause)}`;
    const definition = await leaveDefinition(join(folder, name), xml);
    const cure =
      definition === null
        ? 'make that right, and restore again'
        : `make that right or mend ${definition}, and define it: virsh define '${definition}'`;
    throw new VBackupError('VB_LIBVIRT_DEFINE', message, { cause, cure });
  }
}

/** So many definitions may lie in one folder; who has more of them looks at none. */
const MAX_DEFINITIONS = 100;

/** @returns the path of the file, which takes the place of no other one; null where it cannot be written */
async function leaveDefinition(stem: string, xml: string): Promise<string | null> {
  try {
    for (let count = 1; count <= MAX_DEFINITIONS; count += 1) {
      const path = `${stem}${count === 1 ? '' : `-${count}`}.xml`;
      if (await exists(path)) continue;
      await writeDurably(path, xml);
      return path;
    }
  } catch {
    // What is wrong with the domain matters more than what is wrong with the folder.
  }
  return null;
}

/** The new images have none of their bitmaps. Those of others are left: vbackup never touches them. */
async function forgetCheckpoints(libvirt: LibvirtConnection, uuid: string, options: WithSignal): Promise<void> {
  const known = await libvirt.listCheckpoints(uuid, options);
  for (const { name } of known.filter((checkpoint) => isOurs(checkpoint.name))) {
    await libvirt.deleteCheckpoint(uuid, name, { ...options, metadataOnly: true });
  }
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
