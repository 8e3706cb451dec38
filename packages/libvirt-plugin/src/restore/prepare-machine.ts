import { randomUUID } from 'node:crypto';
import type { MachineRequest, PreparedMachine, WithSignal } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import type { LibvirtContext } from '../backup/context.js';
import { remoteUri } from '../backup/uri.js';
import { emptiedDrives, missingFiles, placeBootFiles } from './boot-files.js';
import { defineMachine } from './define-machine.js';
import { freePlace, refuseUsedImages } from './free-place.js';
import { type RestoredDomain, restoredDomainXml } from './restored-domain-xml.js';
import { savedDomain } from './saved-domain.js';
import { tryDefinition } from './try-definition.js';

/**
 * Looks whether a domain can be defined with disks that are restored, and changes its definition for them.
 * @throws VBackupError VB_LIBVIRT_NO_DEFINITION, VB_LIBVIRT_DEFINED, VB_LIBVIRT_RUNNING, VB_LIBVIRT_SAVED_STATE,
 * VB_LIBVIRT_IMAGE_USED, VB_LIBVIRT_REMOTE, VB_LIBVIRT_DEFINE, VB_TARGET_EXISTS
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
  const place = { name, uuid: isCopy ? null : uuid, force };
  const replaced = await freePlace(libvirt, { ...place, signal });
  const files = await placeBootFiles(saved, { folder, name, force, disks: disks.map(({ path }) => path) });
  const paths = [...disks, ...files].map(({ path }) => path);
  await refuseUsedImages(libvirt, { paths, except: replaced?.uuid ?? null, tools: context.images, signal });
  const change = {
    disks,
    moved: new Map(files.map(({ was, path }) => [was, path])),
    emptied: await emptiedDrives(saved),
    missing: await missingFiles(saved, files),
  };
  const asOther = (identity: { readonly uuid: string; readonly name: string }): RestoredDomain =>
    restoredDomainXml(saved.xml, { ...change, identity: { ...identity, folder } });
  const { xml, remarks } = isCopy
    ? asOther({ uuid: randomUUID(), name })
    : restoredDomainXml(saved.xml, { ...change, identity: null });
  await tryDefinition(libvirt, (identity) => asOther(identity).xml, { signal });
  for (const remark of remarks) context.warn({ code: 'VB_LIBVIRT_RESTORED', message: `${name}: ${remark}` });
  const machine = { place, xml, files, folder, autostart: !isCopy && saved.autostart };
  return { name, define: (options) => defineMachine(context, machine, options) };
}

/** File names have 255 bytes at most: this leaves some for what libvirt and vbackup put behind it. */
const MAX_NAME_LENGTH = 200;

/** libvirt takes almost any name, but it becomes part of paths here and there, and of XML, which has no control characters. */
function nameOf(name: string): string {
  const isWord = name !== '' && name.trim() === name && name !== '.' && name !== '..';
  if (isWord && !/[/\p{Cc}]/u.test(name) && Buffer.byteLength(name) <= MAX_NAME_LENGTH) return name;
  throw new VBackupError('VB_INVALID_ARGUMENT', `${JSON.stringify(name)} is no name for a domain`, {
    cure: `give one of at most ${MAX_NAME_LENGTH} bytes without "/" or control characters, and without space at its ends`,
  });
}

const remote = (uri: string): UnsupportedError =>
  new UnsupportedError('VB_LIBVIRT_REMOTE', `the disks are restored here, and ${uri} is another machine`, {
    cure: 'run vbackup on the host that shall have the domain',
  });
