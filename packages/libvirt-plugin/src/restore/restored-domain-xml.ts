import type { MachineDisk } from '@vbackup/core';
import type { Element } from '@xmldom/xmldom';
import { BOOT_FILES } from '../domain/index.js';
import {
  attributeOf,
  childOf,
  childrenOf,
  parseXml,
  removeChildren,
  serializeXml,
  setText,
  textOf,
} from '../xml/index.js';
import { giveIdentity, type OwnIdentity } from './own-identity.js';
import { giveImage, leaveDisk } from './restored-disk.js';

export interface DomainChange {
  /** Of a domain beside the one that was backed up; null for that one itself. */
  readonly identity: OwnIdentity | null;
  readonly disks: readonly MachineDisk[];
  /** Files that the domain starts from and that are elsewhere now: the new path by the old one. */
  readonly moved: ReadonlyMap<string, string>;
  /** Drives whose medium is not there, by target. */
  readonly emptied: ReadonlySet<string>;
  /** Paths of files that the domain needs, and that are neither on this host nor in the backup. */
  readonly missing: ReadonlySet<string>;
}

export interface RestoredDomain {
  readonly xml: string;
  /** What is not as it was, for people. */
  readonly remarks: readonly string[];
}

/**
 * The definition of a domain whose disks were restored. What belonged to its images and to its last run is left out, its
 * generation is new (`<genid>`): the guest was set back in time.
 * @throws VBackupError VB_LIBVIRT_XML
 */
export function restoredDomainXml(text: string, change: DomainChange): RestoredDomain {
  const root = parseXml(text, 'domain');
  const remarks: string[] = [];
  root.removeAttribute('id');
  for (const generation of childrenOf(root, 'genid')) setText(generation, '');
  for (const label of childrenOf(root, 'seclabel')) {
    if (attributeOf(label, 'type') === 'dynamic') root.removeChild(label);
  }
  const devices = childOf(root, 'devices');
  dropAliases(devices);
  remarks.push(...changeDisks(devices, change), ...moveBootFiles(childOf(root, 'os'), change));
  remarks.push(...changeEmulator(devices, change));
  if (childOf(devices, 'tpm') !== undefined) remarks.push('the state of the TPM is not in the backup');
  if (change.identity !== null) remarks.push(...giveIdentity(root, change.identity));
  return { xml: serializeXml(root), remarks };
}

/** Those that a user chose begin with `ua-` (formatdomain.html, "Devices"). */
function dropAliases(devices: Element | undefined): void {
  // A copy: the list itself follows what is removed.
  const aliases = Array.from(devices?.getElementsByTagName('alias') ?? []);
  for (const alias of aliases) {
    if (attributeOf(alias, 'name')?.startsWith('ua-') !== true) alias.parentNode?.removeChild(alias);
  }
}

function changeDisks(devices: Element | undefined, { identity, disks, emptied }: DomainChange): readonly string[] {
  return childrenOf(devices, 'disk').flatMap((disk) => {
    const target = attributeOf(childOf(disk, 'target'), 'dev') ?? '';
    const restored = disks.find(({ name }) => name === target);
    if (restored !== undefined) return giveImage(disk, restored);
    return leaveDisk(disk, { isCopy: identity !== null, isGone: emptied.has(target) });
  });
}

/** Hosts of another distribution have QEMU elsewhere, and libvirt takes no definition whose emulator is not there. */
function changeEmulator(devices: Element | undefined, { missing }: DomainChange): readonly string[] {
  const path = textOf(childOf(devices, 'emulator'));
  if (path === null || !missing.has(path)) return [];
  removeChildren(devices, 'emulator');
  return [`this host has no ${path}: the QEMU that libvirt chooses takes its place`];
}

function moveBootFiles(os: Element | undefined, { identity, moved, missing }: DomainChange): readonly string[] {
  const remarks: string[] = [];
  for (const element of BOOT_FILES.flatMap((kind) => childrenOf(os, kind))) {
    const source = childOf(element, 'source');
    const path = textOf(element) ?? attributeOf(source, 'file');
    const now = path === null ? undefined : moved.get(path);
    if (now !== undefined) {
      if (source === undefined) setText(element, now);
      else source.setAttribute('file', now);
    } else if (element.tagName !== 'nvram') {
      const isMissing = path !== null && missing.has(path);
      if (isMissing) remarks.push(`${element.tagName} ${path} is neither on this host nor in the backup`);
    } else if (identity === null) {
      // One without a path has no variables yet.
      if (path === null) continue;
      const instead = missing.has(path) ? 'the firmware starts with new ones' : `those in ${path} stay as they are`;
      remarks.push(`the UEFI variables are not in the backup: ${instead}`);
    } else {
      // Two domains must not write the same variables: libvirt makes new ones from the template.
      setText(element, '');
      element.removeAttribute('type');
      remarks.push('the UEFI variables are not in the backup: the firmware starts with new ones');
    }
  }
  return remarks;
}
