import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { VBackupError, type WithSignal } from '@vbackup/core';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';
import { parseDomain } from '../domain/index.js';
import { requireIdle } from './require-idle.js';

export interface PlaceQuestion extends WithSignal {
  readonly name: string;
  /** Of the domain that was backed up; null for a copy, which gets one of its own. */
  readonly uuid: string | null;
  /** The definition of that domain may be replaced. */
  readonly force: boolean;
}

/**
 * Looks whether a domain can be defined.
 * @returns the domain whose definition is replaced
 * @throws VBackupError VB_LIBVIRT_DEFINED, VB_LIBVIRT_RUNNING, VB_LIBVIRT_SAVED_STATE
 */
export async function freePlace(
  libvirt: LibvirtConnection,
  { name, uuid, force, signal }: PlaceQuestion,
): Promise<DomainFacts | null> {
  const domains = await libvirt.listDomains({ signal });
  const same = uuid === null ? undefined : domains.find((domain) => domain.uuid === uuid);
  const namesake = domains.find((domain) => domain.name === name && domain !== same);
  if (namesake !== undefined) {
    throw new VBackupError('VB_LIBVIRT_DEFINED', `another domain is called ${name}: ${namesake.uuid}`, {
      cure: 'give another name with --name, or undefine that domain before',
    });
  }
  if (same === undefined) return null;
  if (same.name !== name) {
    throw new VBackupError('VB_LIBVIRT_DEFINED', `the domain ${name} is there, and is called ${same.name} now`, {
      cure: 'give a name with --name: the restored domain gets a uuid of its own',
    });
  }
  if (!force) {
    throw new VBackupError('VB_LIBVIRT_DEFINED', `the domain ${name} is defined already`, {
      cure: 'restore another domain beside it with --name, replace its definition with --force, or write into its disks with --in-place',
    });
  }
  await requireIdle(libvirt, same, { signal });
  return same;
}

export interface UseQuestion extends WithSignal {
  /** Files that will be written. */
  readonly paths: readonly string[];
  /** The uuid of the domain whose disks they may be. */
  readonly except: string | null;
}

/** @throws VBackupError VB_LIBVIRT_IMAGE_USED if a domain, whether it runs or not, has one of the files */
export async function refuseUsedImages(
  libvirt: LibvirtConnection,
  { paths, except, signal }: UseQuestion,
): Promise<void> {
  const written = new Set(await Promise.all(paths.map(trueName)));
  for (const { uuid, name } of await libvirt.listDomains({ signal })) {
    if (uuid === except) continue;
    const { disks, bootFiles } = parseDomain(await libvirt.domainXml(uuid, { signal }));
    const images = disks.flatMap(({ image, backingChain }) => [image, ...backingChain]);
    const files = [...images.flatMap(({ source }) => source ?? []), ...bootFiles.map(({ path }) => path)];
    for (const file of files) {
      if (!written.has(await trueName(file))) continue;
      throw new VBackupError('VB_LIBVIRT_IMAGE_USED', `${file} belongs to the domain ${name}`, {
        cure: 'restore into another folder',
      });
    }
  }
}

/** Links are followed as far as there is something. */
async function trueName(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return resolve(path);
  }
}
