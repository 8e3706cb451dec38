import { access, rm, rmdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { Leftover } from '../../hypervisor/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory } from '../../storage/durable.js';
import { systemCode, withIo } from '../../storage/io-error.js';
import type { JournalRecord } from './journal.js';
import { manifestPath, SIDE_FOLDER } from './names.js';

/**
 * Removes what a run that ended without a manifest made, as its journal names it; a run that has its manifest only
 * loses partial files. Nothing else in the folder is touched. What it found and did is durable when it returns: the
 * hypervisor and the journal are changed on its word.
 * @returns what the hypervisor has to know of that run
 */
export async function cleanUp(root: string, place: string, record: JournalRecord): Promise<Leftover> {
  const manifest = manifestOf(record);
  const committed = manifest !== undefined && (await exists(join(root, manifest)));
  await removeFiles(root, place, { ...record, committed });
  return { backupId: record.backupId, entries: record.entries, committed };
}

/** As {@link cleanUp} for the run itself, which knows that it failed, even if its manifest got its name. */
export async function removeDraft(root: string, place: string, record: JournalRecord): Promise<void> {
  const manifest = manifestOf(record);
  // First, and durably: a backup that has a manifest must have its files.
  if (manifest !== undefined) await removeFiles(root, place, { files: [manifest], chain: null, committed: false });
  await removeFiles(root, place, { ...record, committed: false });
}

const manifestOf = ({ backupId, files }: JournalRecord): string | undefined =>
  files.find((path) => path.endsWith(sep + manifestPath(backupId)));

async function removeFiles(
  root: string,
  place: string,
  what: Pick<JournalRecord, 'files' | 'chain'> & { readonly committed: boolean },
): Promise<void> {
  for (const path of what.files) {
    refuseOutside(place, path);
    await remove(join(root, path) + PARTIAL_SUFFIX);
    if (!what.committed) await remove(join(root, path));
  }
  for (const folder of new Set(what.files.map((path) => dirname(join(root, path))))) {
    if (await exists(folder)) await syncDirectory(folder);
  }
  if (what.chain === null || what.committed) return;
  refuseOutside(place, what.chain);
  await removeChain(join(root, what.chain));
}

/** Removes a chain's folders if nothing is left in them. */
async function removeChain(path: string): Promise<void> {
  for (const folder of [join(path, SIDE_FOLDER), path]) {
    await withIo(`cannot remove the folder ${folder}`, () => ignoringMissing(() => removeIfEmpty(folder)));
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (systemCode(error) !== 'ENOTEMPTY') throw error;
  }
}

const remove = (path: string): Promise<void> => withIo(`cannot remove ${path}`, () => rm(path, { force: true }));

const exists = async (path: string): Promise<boolean> =>
  (await withIo(`cannot look at ${path}`, () => ignoringMissing(async () => (await access(path)) ?? true))) !== null;

function refuseOutside(place: string, path: string): void {
  if (path.startsWith(place + sep) && !path.split(sep).includes('..')) return;
  throw new VBackupError('VB_REPOSITORY_DAMAGED', `journal of ${place} names ${path}, which lies outside`);
}
