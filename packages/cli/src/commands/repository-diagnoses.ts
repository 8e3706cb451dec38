import { access, constants, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Diagnosis } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { failureOf } from '../failure.js';
import { formatBytes, printable } from '../output/format.js';
import type { CommandContext } from './command.js';

/** Less room than this is worth a warning, in bytes. */
const LITTLE_ROOM = 10 * 1024 ** 3;
/** Left beside the lock of a guest while a run works there, or after one died (docs/architecture.md). */
const JOURNAL = 'journal.ndjson';

/** Whether the repository is there, can be written and read, has room, and what dead runs left in it. */
export async function* repositoryDiagnoses(context: CommandContext): AsyncGenerator<Diagnosis> {
  const path = await context.repositoryPath();
  if (!(await exists(path))) {
    const parent = await nearestFolder(path);
    yield {
      name: 'repository',
      state: 'warning',
      detail: `${path} does not exist yet`,
      cure: 'the first backup makes it',
    };
    yield await writable(parent);
    yield await room(parent);
    return;
  }
  yield await writable(path);
  yield await room(path);
  const repository = await context.repository({ create: false });
  const { backups, damaged } = await repository.catalogue({ signal: context.signal });
  yield { name: 'backups', state: 'good', detail: `${backups.length} in ${repository.location}` };
  for (const { path, error } of damaged) {
    const { message, code } = failureOf(error);
    const detail = `${path}: ${message} [${code}]`;
    yield { name: 'manifest', state: 'bad', detail, cure: 'restore this file from a copy, or make a new full backup' };
  }
  yield* leftovers(path);
}

async function writable(folder: string): Promise<Diagnosis> {
  try {
    for (const mode of [constants.R_OK, constants.W_OK, constants.X_OK]) await access(folder, mode);
    return { name: 'access', state: 'good', detail: `${folder} can be read and written` };
  } catch {
    const cure = 'change its owner or mode, or name another place with -r';
    return { name: 'access', state: 'bad', detail: `${folder} cannot be read and written by this user`, cure };
  }
}

async function room(folder: string): Promise<Diagnosis> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${formatBytes(free)} free`;
  if (free >= LITTLE_ROOM) return { name: 'room', state: 'good', detail };
  return { name: 'room', state: 'warning', detail, cure: 'make room before a full backup' };
}

/** A journal without a run is work that a dead one left; its guest's next run does it. */
async function* leftovers(repository: string): AsyncGenerator<Diagnosis> {
  let found = 0;
  for (const hypervisor of await folders(repository)) {
    for (const guest of await folders(join(repository, hypervisor))) {
      if (!(await exists(join(repository, hypervisor, guest, JOURNAL)))) continue;
      found++;
      yield {
        name: 'leftover',
        state: 'warning',
        detail: `a run is working on ${hypervisor} ${printable(guest)}, or one died there`,
        cure: 'if none is running, the next backup of it cleans up by itself',
      };
    }
  }
  if (found === 0) yield { name: 'leftovers', state: 'good', detail: 'none' };
}

async function folders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false;
    throw new VBackupError('VB_ACCESS_DENIED', `cannot look at ${path}`, { cause });
  }
}

async function nearestFolder(path: string): Promise<string> {
  let folder = dirname(path);
  while (folder !== dirname(folder) && !(await exists(folder))) folder = dirname(folder);
  return folder;
}
