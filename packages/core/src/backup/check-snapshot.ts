import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { Snapshot, SnapshotDisk } from '../hypervisor/index.js';

const NAME = /^[A-Za-z0-9_-]+$/;
/** A file of ours is called `<id>.json` or `<id>.<disk>.index`. */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/**
 * What a plugin says is checked before a byte is read: names become files, and extents decide what is left out.
 * @throws VBackupError VB_SNAPSHOT_INVALID
 */
export function checkSnapshot(snapshot: Snapshot): void {
  if (snapshot.disks.length === 0) throw invalid('it has no disks');
  if (Number.isNaN(snapshot.time.getTime())) throw invalid('it has no time');
  unique(
    snapshot.disks.map(({ name }) => name),
    'disk name',
  );
  unique(
    snapshot.disks.map(({ id }) => id),
    'disk id',
  );
  unique(
    snapshot.configuration.map(({ name }) => name),
    'file name',
  );
  for (const disk of snapshot.disks) checkDisk(disk);
  for (const { name } of snapshot.configuration) {
    const taken = name === 'json' || name.endsWith('.index') || name.endsWith('.partial');
    if (!FILE_NAME.test(name) || taken) throw invalid(`a file is called ${JSON.stringify(name)}`);
  }
}

function checkDisk(disk: SnapshotDisk): void {
  if (!NAME.test(disk.name) || disk.id === '') throw invalid(`a disk is called ${JSON.stringify(disk.name)}`);
  if (!Number.isSafeInteger(disk.size) || disk.size <= 0) throw invalid(`disk ${disk.name} has ${disk.size} bytes`);
  if (disk.changes.kind === 'all') return;
  const { extents, forgetful } = disk.changes;
  checkExtents(extents, disk);
  if (forgetful !== undefined && !isPowerOfTwo(forgetful.blockLength)) {
    throw invalid(`disk ${disk.name} is allocated in blocks of ${forgetful.blockLength} bytes`);
  }
}

const isPowerOfTwo = (length: number): boolean => length >= 1 && Number.isInteger(Math.log2(length));

function checkExtents(extents: readonly Extent[], disk: SnapshotDisk): void {
  let end = 0;
  for (const { offset, length } of extents) {
    const sound = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && length > 0;
    if (!sound || offset < end || offset + length > disk.size) {
      throw invalid(`disk ${disk.name} has the changed extent ${offset} + ${length} behind ${end} of ${disk.size}`);
    }
    end = offset + length;
  }
}

function unique(words: readonly string[], what: string): void {
  if (new Set(words).size !== words.length) throw invalid(`a ${what} occurs twice: ${words.join(', ')}`);
}

const invalid = (detail: string): VBackupError =>
  new VBackupError('VB_SNAPSHOT_INVALID', `the plugin's snapshot cannot be used: ${detail}`);
