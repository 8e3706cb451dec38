import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  type DefinedMachine,
  type MachineRequest,
  type PreparedMachine,
  UnsupportedError,
  VBackupError,
  type WithSignal,
  writeDurably,
} from '@vbackup/core';
import type { LibvirtContext } from '../backup/context.js';
import { remoteUri } from '../backup/uri.js';
import { isOurs } from '../checkpoint/index.js';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';
import { emptiedDrives, type PlacedFile, placeBootFiles } from './boot-files.js';
import { freePlace, refuseUsedImages } from './free-place.js';
import { restoredDomainXml } from './restored-domain-xml.js';
import { savedDomain } from './saved-domain.js';

/**
 * Looks whether a domain can be defined with disks that are restored, and changes its definition for them.
 * @throws VBackupError VB_LIBVIRT_NO_DEFINITION, VB_LIBVIRT_DEFINED, VB_LIBVIRT_RUNNING, VB_LIBVIRT_SAVED_STATE,
 * VB_LIBVIRT_IMAGE_USED, VB_LIBVIRT_REMOTE, VB_TARGET_EXISTS
 */
export async function prepareMachine(
  context: LibvirtContext,
  request: MachineRequest,
  { signal }: WithSignal = {},
): Promise<PreparedMachine> {
  const { folder, disks, force } = request;
  const saved = savedDomain(request.configuration);
  const { name: before, uuid } = saved.description;
  const name = nameOf(request.name ?? before);
  const isCopy = name !== before;
  const libvirt = await context.link.get();
  const elsewhere = await remoteUri(libvirt, context.options.uri, { signal });
  if (elsewhere !== null) throw remote(elsewhere);
  const replaced = await freePlace(libvirt, { name, uuid: isCopy ? null : uuid, force, signal });
  const files = await placeBootFiles(saved, { folder, name, force });
  const paths = [...disks, ...files].map(({ path }) => path);
  await refuseUsedImages(libvirt, { paths, except: replaced?.uuid ?? null, signal });
  const { xml, remarks } = restoredDomainXml(saved.xml, {
    identity: isCopy ? { uuid: randomUUID(), name, folder } : null,
    disks,
    moved: new Map(files.map(({ was, path }) => [was, path])),
    emptied: await emptiedDrives(saved),
  });
  for (const remark of remarks) context.warn({ code: 'VB_LIBVIRT_RESTORED', message: `${name}: ${remark}` });
  const machine = { name, xml, files, folder, replaced, autostart: !isCopy && saved.autostart };
  return { name, define: (options) => defineMachine(context, machine, options) };
}

interface Machine {
  readonly name: string;
  readonly xml: string;
  readonly files: readonly PlacedFile[];
  readonly folder: string;
  readonly replaced: DomainFacts | null;
  readonly autostart: boolean;
}

async function defineMachine(
  context: LibvirtContext,
  { name, xml, files, folder, replaced, autostart }: Machine,
  options: WithSignal = {},
): Promise<DefinedMachine> {
  const libvirt = await context.link.get();
  for (const { path, content } of files) await writeDurably(path, content);
  const id = await takeDefinition(libvirt, { name, xml, folder }, options);
  if (replaced !== null) await forgetCheckpoints(libvirt, id, options);
  if (autostart || replaced?.autostart === true) await libvirt.setAutostart(id, autostart, options);
  return { name, id };
}

/** @returns the uuid */
async function takeDefinition(
  libvirt: LibvirtConnection,
  { name, xml, folder }: Pick<Machine, 'name' | 'xml' | 'folder'>,
  options: WithSignal,
): Promise<string> {
  try {
    return (await libvirt.defineDomain(xml, options)).uuid;
  } catch (cause) {
    const definition = join(folder, `${name}.xml`);
    await writeDurably(definition, xml);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VBackupError('VB_LIBVIRT_DEFINE', `the disks are restored, but ${name} is not defined: ${why}`, {
      cause,
      cure: `look at ${definition}, and define it yourself: virsh define ${definition}`,
    });
  }
}

/** The new images have none of their bitmaps. Those of others are left: vbackup never touches them. */
async function forgetCheckpoints(libvirt: LibvirtConnection, uuid: string, options: WithSignal): Promise<void> {
  const known = await libvirt.listCheckpoints(uuid, options);
  for (const { name } of known.filter((checkpoint) => isOurs(checkpoint.name))) {
    await libvirt.deleteCheckpoint(uuid, name, { ...options, metadataOnly: true });
  }
}

/** libvirt takes almost any name, but it becomes part of paths here and there. */
function nameOf(name: string): string {
  if (/^[^/\n\0]{1,200}$/.test(name) && name.trim() === name && name !== '.' && name !== '..') return name;
  throw new VBackupError('VB_INVALID_ARGUMENT', `${JSON.stringify(name)} is no name for a domain`, {
    cure: 'give one without "/", and without space at its ends',
  });
}

const remote = (uri: string): UnsupportedError =>
  new UnsupportedError('VB_LIBVIRT_REMOTE', `the disks are restored here, and ${uri} is another machine`, {
    cure: 'run vbackup on the host that shall have the domain',
  });
