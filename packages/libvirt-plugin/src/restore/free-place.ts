import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ImageInfo, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { ImageTools } from '../backup/offline/image-tools.js';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';
import { type DiskImage, parseDomain } from '../domain/index.js';
import { exists } from './boot-files.js';
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
  readonly tools: Pick<ImageTools, 'info'>;
}

/**
 * The images that the disks of a domain stand on count as its own. Volumes of storage pools are not looked for.
 * @throws VBackupError VB_LIBVIRT_IMAGE_USED if a domain, whether it runs or not, has one of the files
 */
export async function refuseUsedImages(
  libvirt: LibvirtConnection,
  { paths, except, tools, signal }: UseQuestion,
): Promise<void> {
  const written = new Set(await Promise.all(paths.map(trueName)));
  // What is not there no image stands on, but a definition may name it.
  const isAnyThere = (await Promise.all(paths.map(exists))).includes(true);
  for (const { uuid, name } of await libvirt.listDomains({ signal })) {
    if (uuid === except) continue;
    const { disks, bootFiles } = parseDomain(await libvirt.domainXml(uuid, { signal }));
    const images = disks.flatMap(({ image, backingChain }) => [image, ...backingChain]);
    const below = isAnyThere ? await imagesBelow(images, tools, { signal }) : [];
    const named = images.flatMap(({ source }) => source ?? []);
    const files = [...named, ...below, ...bootFiles.map(({ path }) => path)];
    for (const file of files) {
      if (!written.has(await trueName(file))) continue;
      throw new VBackupError('VB_LIBVIRT_IMAGE_USED', `${file} belongs to the domain ${name}`, {
        cure: 'restore into another folder',
      });
    }
  }
}

/** So many images may stand on each other; libvirt itself stops at 200. */
const MAX_CHAIN_LENGTH = 200;

/** libvirt tells the chain of a domain that runs; of one that is off only the images themselves do. */
async function imagesBelow(
  images: readonly DiskImage[],
  tools: Pick<ImageTools, 'info'>,
  { signal }: WithSignal,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { type, source, format } of images) {
    if (source === null || format === null || format === 'raw' || (type !== 'file' && type !== 'block')) continue;
    let below: string | null = source;
    let belowFormat: string | null = format;
    for (let depth = 0; below !== null && belowFormat !== null && depth < MAX_CHAIN_LENGTH; depth += 1) {
      const info = await infoOrNull(tools, below, { format: belowFormat, signal });
      below = info?.backingPath ?? null;
      belowFormat = info?.backingFormat ?? null;
      if (below !== null) found.push(below);
    }
  }
  return found;
}

/** Null for an image that is not there or cannot be read: what it stands on is not known. */
async function infoOrNull(
  tools: Pick<ImageTools, 'info'>,
  path: string,
  { format, signal }: { readonly format: string } & WithSignal,
): Promise<ImageInfo | null> {
  try {
    return await tools.info(path, { format, inUse: true, signal });
  } catch (error) {
    if (error instanceof VBackupError) return null;
    throw error;
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
