import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProtocolError, VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest, ManifestDisk, ManifestFile } from '../manifest.js';
import type { Damage, VerifyOptions } from '../repository.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { type VerifiedDisk, verifyDisk } from './verify-disk.js';

export interface VerifyBackupOptions extends VerifyOptions {
  /** The repository's folder. */
  readonly root: string;
  readonly manifest: Manifest;
}

/** Reads every file of one backup, once: its size and SHA-256, and of each disk every frame against the index. */
export async function verifyBackup(options: VerifyBackupOptions): Promise<readonly Damage[]> {
  await using _workers = sharedWorkers.lease();
  const { files, disks } = options.manifest;
  const found = new Map<ManifestFile, Damage | null>();
  for (const file of files) found.set(file, await checkSize(file, options));
  const isThere = (path: string): boolean =>
    [...found].some(([file, damage]) => file.path === path && damage?.code !== 'VB_FILE_MISSING');
  const sound = disks.filter(({ file, index }) => isThere(file) && isThere(index));
  // The streams of disks are read with their frames.
  const unread = (file: ManifestFile): boolean => found.get(file) === null;
  const streams = new Set(files.filter((file) => unread(file) && sound.some((disk) => disk.file === file.path)));
  for (const file of files) {
    if (unread(file) && !streams.has(file)) found.set(file, await checkDigest(file, options));
  }
  const frames = new Map<ManifestDisk, readonly Damage[]>();
  for (const disk of sound) {
    const stream = files.find((file) => file.path === disk.file && streams.delete(file));
    const { damage, sha256 } = await checkDisk(disk, { ...options, withSum: stream !== undefined });
    frames.set(disk, damage);
    if (stream !== undefined) found.set(stream, await checkDigest(stream, options, sha256));
  }
  return [
    ...[...found.values()].filter((damage) => damage !== null),
    ...disks.flatMap((disk) => [...unlistedFiles(disk, options.manifest), ...(frames.get(disk) ?? [])]),
  ];
}

async function checkSize(file: ManifestFile, options: VerifyBackupOptions): Promise<Damage | null> {
  options.signal?.throwIfAborted();
  const path = join(options.root, options.manifest.chain, file.path);
  const place = { file: path, ...lostWith(file, options.manifest) };
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found === null) return { code: 'VB_FILE_MISSING', message: `${path} is missing`, ...place };
  if (found.size === file.size) return null;
  return { code: 'VB_FILE_SIZE', message: `${path} has ${found.size} bytes instead of ${file.size}`, ...place };
}

/** @param known - the file's SHA-256; null if it is to be read for that */
async function checkDigest(
  file: ManifestFile,
  options: VerifyBackupOptions,
  known: string | null = null,
): Promise<Damage | null> {
  options.signal?.throwIfAborted();
  const path = join(options.root, options.manifest.chain, file.path);
  const place = { file: path, ...lostWith(file, options.manifest) };
  try {
    const sha256 = known ?? (await sharedWorkers.digestFile(path, { signal: options.signal })).sha256;
    if (sha256 === file.sha256) return null;
    return { code: 'VB_FILE_DIGEST', message: `${path} has the SHA-256 ${sha256} instead of ${file.sha256}`, ...place };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isOfFile(error)) throw error;
    return { code: error.code, message: error.message, ...place };
  }
}

/** Whether a file is to blame, and not who looked at it. */
const isOfFile = (error: unknown): error is VBackupError =>
  error instanceof VBackupError && error.code !== 'VB_INTERNAL';

/** What is lost with a file as a whole: without its index a disk's frames cannot be found. */
function lostWith(file: ManifestFile, manifest: Manifest): Pick<Damage, 'disk' | 'extent'> {
  const disk = manifest.disks.find(({ file: stream, index }) => stream === file.path || index === file.path);
  if (disk === undefined) return {};
  return { disk: disk.name, extent: { offset: 0, length: disk.size } };
}

async function checkDisk(
  disk: ManifestDisk,
  options: VerifyBackupOptions & { readonly withSum: boolean },
): Promise<VerifiedDisk> {
  const { root, manifest, signal, onEvent, withSum } = options;
  const path = join(root, manifest.chain, disk.file);
  const indexPath = join(root, manifest.chain, disk.index);
  await using file = await withIo(`cannot open ${path}`, () => open(path, 'r'));
  try {
    return await verifyDisk({ file, path, indexPath, manifest, disk, withSum, signal, onEvent });
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOfFile(error)) throw error;
    const offset = error instanceof ProtocolError ? error.offset : undefined;
    const extent = { offset: 0, length: disk.size };
    const { code, message } = error;
    return { damage: [{ code, message, file: indexPath, offset, disk: disk.name, extent }], sha256: null };
  }
}

function unlistedFiles(disk: ManifestDisk, { files }: Manifest): readonly Damage[] {
  const unlisted = [disk.file, disk.index].filter((path) => !files.some((file) => file.path === path));
  return unlisted.map((path) => ({
    code: 'VB_MANIFEST_DAMAGED',
    message: `the manifest does not list ${path}`,
    file: path,
    disk: disk.name,
  }));
}
