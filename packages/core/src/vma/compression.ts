import { beginsArchive } from './header-decode.js';

/** What an archive may be inside of. */
export type ArchiveCompression = 'none' | 'zstd' | 'gzip' | 'lzo' | 'bzip2';

/** Bytes that {@link compressionOf} needs. */
export const COMPRESSION_MAGIC_LENGTH = 4;

const MAGICS: readonly (readonly [ArchiveCompression, Buffer])[] = [
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['lzo', Buffer.from([0x89, 0x4c, 0x5a, 0x4f])],
  ['bzip2', Buffer.from([0x42, 0x5a, 0x68])],
];

/** Told by the first bytes and never by the name; what is unknown is `none`, and no archive either. */
export function compressionOf(bytes: Buffer): ArchiveCompression {
  if (beginsArchive(bytes)) return 'none';
  return MAGICS.find(([, magic]) => bytes.subarray(0, magic.length).equals(magic))?.[0] ?? 'none';
}
