import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { ConfigurationFile, WithSignal } from '@vbackup/core';
import { imageRecord } from '@vbackup/core/backup/saved-images';
import { VBackupError } from '@vbackup/core/errors';
import { RestoreNote } from '@vbackup/core/storage';
import type { LibvirtConnection } from '../connection/index.js';
import type { BootFile, DomainDescription } from '../domain/index.js';
import type { ReadChoice } from './choose-disks.js';
import type { LibvirtContext } from './context.js';

/** A kernel with an initrd has some 100 MB; what is larger is no file that a machine starts from. */
const MAX_BOOT_FILE_LENGTH = 512 * 1024 * 1024;

export interface ConfigurationQuestion extends WithSignal {
  readonly domain: string;
  readonly description: DomainDescription;
  readonly disks: readonly ReadChoice[];
  readonly checkpoint: string | null;
  /** The URI of another machine, whose files cannot be read here; null for this one. */
  readonly remote: string | null;
}

/** The machine's records, and the files that it starts from where they lie on this machine. */
export async function configurationOf(
  context: LibvirtContext,
  libvirt: LibvirtConnection,
  { domain, description, disks, checkpoint, remote, signal }: ConfigurationQuestion,
): Promise<readonly ConfigurationFile[]> {
  const { autostart, persistent } = await libvirt.findDomain({ uuid: domain }, { signal });
  const files = [
    // The definition; that of a transient domain is what runs.
    text('domain.xml', await libvirt.domainXml(domain, { inactive: persistent, secure: true, signal })),
    text('libvirt.json', `${JSON.stringify({ autostart, persistent, boot: bootNames(description) }, null, 2)}\n`),
  ];
  if (checkpoint !== null) {
    files.push(
      text('checkpoint.xml', await libvirt.checkpointXml(domain, checkpoint, { signal, withoutDomain: true })),
    );
  }
  if (remote !== null) {
    for (const { disk } of disks) files.push(imageRecord(disk.target, { format: disk.image.format ?? 'raw' }));
    for (const { path } of description.bootFiles) warnNotSaved(context, path, `it lies on another host, ${remote}`);
    return files;
  }
  for (const { disk } of disks) {
    const { source, format, type } = disk.image;
    if (source === null || (type !== 'file' && type !== 'block')) continue;
    const mixed = await RestoreNote.warningFor(source);
    if (mixed !== null) context.warn(mixed);
    const info = await attempt(context, source, () =>
      context.images.info(source, { format: format ?? 'raw', inUse: true, signal }),
    );
    if (info !== null) files.push(imageRecord(disk.target, info));
  }
  for (const file of description.bootFiles) {
    const content = await attempt(context, file.path, () => readBootFile(file.path, signal));
    if (content !== null) files.push({ name: bootName(file), content });
  }
  return files;
}

const text = (name: string, content: string): ConfigurationFile => ({ name, content: Buffer.from(content) });

/** `nvram-web_VARS.fd`; what cannot stand in a file's name is replaced. */
const bootName = ({ kind, path }: BootFile): string => `${kind}-${basename(path).replaceAll(/[^A-Za-z0-9._-]/g, '_')}`;

const bootNames = ({ bootFiles }: DomainDescription): Readonly<Record<string, string>> =>
  Object.fromEntries(bootFiles.map((file) => [bootName(file), file.path]));

async function readBootFile(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const facts = await stat(path);
  if (facts.isFile() && facts.size <= MAX_BOOT_FILE_LENGTH) return readFile(path, { signal });
  throw new VBackupError('VB_LIBVIRT_FILE', `it is no file of at most ${MAX_BOOT_FILE_LENGTH} bytes`);
}

/** The disks are what the backup is about: a file beside them that cannot be read is told, and no more. */
async function attempt<T>(context: LibvirtContext, path: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') throw error;
    const why = error instanceof Error ? error.message : String(error);
    warnNotSaved(context, path, why);
    return null;
  }
}

function warnNotSaved(context: LibvirtContext, path: string, why: string): void {
  context.warn({ code: 'VB_LIBVIRT_FILE', message: `not saved with the backup: ${path}: ${why}` });
}
