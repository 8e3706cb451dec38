import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf } from '../backup/frame-digest/frame-digest.js';
import type { FrameRecord } from '../backup/frame-index/frame-record.js';
import { FrameIndexReader } from '../backup/frame-index/index-reader.js';
import { FrameIndexWriter } from '../backup/frame-index/index-writer.js';
import type { Manifest, ManifestDisk, Repository } from '../backup/index.js';
import { fileEntry } from '../backup/repository/file-entry.js';
import { encodeManifest } from '../backup/repository/manifest-file.js';
import { manifestPath } from '../backup/repository/names.js';
import { writeDurably } from '../storage/durable.js';

/**
 * Makes a backup what it would be if a vbackup had made it that knew no BLAKE3: its indexes are written anew with SHA-256.
 * @returns the manifest that names them
 */
export async function withSha256Indexes(repository: Repository, manifest: Manifest): Promise<Manifest> {
  const files = new Map(manifest.files.map((file) => [file.path, file]));
  for (const disk of manifest.disks) {
    await rewrite(repository, manifest, disk);
    files.set(disk.index, fileEntry(disk.index, await readFile(join(repository.location, manifest.chain, disk.index))));
  }
  const written: Manifest = { ...manifest, files: [...files.values()] };
  await writeDurably(join(repository.location, manifest.chain, manifestPath(manifest.id)), encodeManifest(written));
  return written;
}

async function rewrite(repository: Repository, manifest: Manifest, disk: ManifestDisk): Promise<void> {
  const path = join(repository.location, manifest.chain, disk.index);
  const records = await recordsWithSha256(repository, manifest, disk);
  await using file = await open(path, 'w');
  const writer = new FrameIndexWriter(file, { size: disk.size, algorithm: 'sha256' });
  for (const record of records) await writer.append(record);
  await writer.finish();
}

async function recordsWithSha256(
  repository: Repository,
  manifest: Manifest,
  disk: ManifestDisk,
): Promise<readonly FrameRecord[]> {
  // A frame of the backup itself is what the disk holds there.
  await using image = await repository.openImage(manifest, disk.name);
  await using index = await FrameIndexReader.open(join(repository.location, manifest.chain, disk.index));
  const records: FrameRecord[] = [];
  for await (const record of index.scan()) {
    const bytes = Buffer.alloc(record.kind === 'zero' ? 0 : record.length);
    await image.read(record.offset, bytes);
    records.push(record.kind === 'zero' ? record : { ...record, digest: digestOf('sha256', bytes) });
  }
  return records;
}
