import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { chainOfFile, chainsOfFolder } from '../backup/archive/stream-chains.js';
import { StreamImage } from '../backup/archive/stream-image.js';
import type { FrameCache } from '../backup/image/frame-cache.js';
import { openFileReader } from '../filemap/file-reader.js';
import { openMappable } from '../filemap/open-filemap.js';
import type { Warning, WithSignal } from '../hypervisor/index.js';
import { beginsStream, type ChainFile } from '../sparse-stream/index.js';
import { withIo } from '../storage/io-error.js';
import { VMSTATE_NAME } from '../vma/archive.js';
import { compressionOf } from '../vma/compression.js';
import { beginsArchive } from '../vma/header-decode.js';
import { openVmaArchive } from '../vma/random-access.js';
import type { DiskSource, SourceDisk } from './disk-source.js';
import { ImageDisk } from './image-disk.js';
import { ReaderDisk } from './reader-disk.js';
import { identityOfFiles } from './source-identity.js';
import { StreamDisk } from './stream-disk.js';

export interface PathSourceOptions extends WithSignal {
  readonly cache: FrameCache;
  readonly onWarning: (warning: Warning) => void;
}

/** The kinds are told by so many bytes. */
const HEAD_LENGTH = 64;
/** What is compressed is an archive only if it says so: a disk may begin with any bytes. */
const ARCHIVE_NAME = /\.vma(?:\.[a-z0-9]+)?$/i;

/**
 * The disks of a file, a block device or a folder: a VMA archive, a stream of virtnbdbackup with what it stands on, a folder
 * of such streams, and else an image, byte by byte.
 * @throws VBackupError VB_FILE_TYPE, VB_FILE_NOT_FOUND, VB_CHAIN_…, VB_IO; ProtocolError VB_VMA_…, VB_SPARSE_…; UnsupportedError
 * VB_UNSUPPORTED for an archive that is compressed
 */
export async function pathSource(path: string, options: PathSourceOptions): Promise<DiskSource> {
  const found = await withIo(`cannot look at ${path}`, () => stat(path));
  if (found.isDirectory()) return streamSource(path, await chainsOfFolder(path, options), options);
  const head = await headOf(path);
  // An empty file begins like any; by its name it is an archive that was cut, else an empty disk.
  const begins = head.length > 0 ? beginsArchive(head) : ARCHIVE_NAME.test(path);
  if (begins || (compressionOf(head) !== 'none' && ARCHIVE_NAME.test(path))) {
    return archiveSource(path, options);
  }
  if (beginsStream(head)) return streamSource(path, [await chainOfFile(path, options)], options);
  return imageSource(path, options);
}

async function archiveSource(path: string, { onWarning, signal }: PathSourceOptions): Promise<DiskSource> {
  const archive = await openVmaArchive(path, { signal });
  for (const { code, message } of archive.warnings) {
    onWarning({ code: `VB_VMA_${code}`, message: `${path}: ${message}` });
  }
  const created = new Date(archive.header.ctime * 1000);
  const time = Number.isNaN(created.getTime()) ? '' : ` of ${created.toISOString()}`;
  const disks = archive.header.devices
    .filter(({ name }) => name !== VMSTATE_NAME)
    .map((device): SourceDisk => {
      const description = `${basename(path)}, ${device.name}, VMA archive${time}`;
      const image = archive.image(device);
      return { name: device.name, description, open: async (name) => new ImageDisk({ name, description, image }) };
    });
  const name = basename(path).replace(ARCHIVE_NAME, '');
  const identity = await identityOfFiles([path]);
  return { name, id: '', identity, disks, [Symbol.asyncDispose]: () => archive[Symbol.asyncDispose]() };
}

async function streamSource(
  path: string,
  chains: readonly (readonly ChainFile[])[],
  { cache, signal: opening }: PathSourceOptions,
): Promise<DiskSource> {
  const disks = chains.flatMap((files): SourceDisk[] => {
    const tip = files.at(-1);
    if (tip === undefined) return [];
    const description = `${basename(path)}, ${tip.meta.diskName}, ${tip.name} of ${tip.meta.date}`;
    const paths = files.map((file) => file.path);
    const openDisk: SourceDisk['open'] = async (name, { signal = opening } = {}) =>
      new StreamDisk(await StreamImage.open(paths, { signal }), { name, description, cache });
    return [{ name: tip.meta.diskName, description, open: openDisk }];
  });
  const identity = await identityOfFiles(chains.flat().map((file) => file.path));
  return { name: basename(path), id: '', identity, disks, [Symbol.asyncDispose]: async () => {} };
}

async function imageSource(path: string, { onWarning, signal: opening }: PathSourceOptions): Promise<DiskSource> {
  const name = basename(path);
  const disk: SourceDisk = {
    name,
    description: path,
    open: async (exportName, { signal = opening } = {}) =>
      new ReaderDisk(await openFileReader(path, { onWarning, signal }), { name: exportName, description: path }),
  };
  const identity = await identityOfFiles([path]);
  return { name, id: '', identity, disks: [disk], [Symbol.asyncDispose]: async () => {} };
}

/** Of what is neither a file nor a block device nothing is read: it is refused. */
async function headOf(path: string): Promise<Buffer> {
  await using file = await openMappable(path);
  const head = Buffer.alloc(HEAD_LENGTH);
  const { bytesRead } = await withIo(`cannot read ${path}`, () => file.read(head, 0, HEAD_LENGTH, 0));
  return head.subarray(0, bytesRead);
}
