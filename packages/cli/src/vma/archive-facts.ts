import type { ArchiveCompression, VmaHeader } from '@vbackup/core';
import type { VmaArchiveFacts } from '../output/vma-events.js';

export interface NamedArchive {
  readonly path: string;
  readonly compression: ArchiveCompression;
  readonly header: VmaHeader;
}

/** What a header says, as it is shown. */
export function archiveFacts({ path, compression, header }: NamedArchive): VmaArchiveFacts {
  const { uuid, ctime, length: headerLength, configs, devices } = header;
  return {
    path,
    compression,
    uuid: uuidText(uuid),
    created: isoTime(ctime),
    headerLength,
    configs: configs.map(({ name, content }) => ({ name, size: content.length })),
    devices: devices.map(({ id, name, size }) => ({ id, name, size })),
  };
}

const uuidText = (uuid: Buffer): string =>
  uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

function isoTime(seconds: number): string | null {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}
