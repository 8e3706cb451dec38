import { randomUUID } from 'node:crypto';
import { readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VBackupError } from '../errors/index.js';
import { ignoringMissing } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';

const FOLDER_NAME = /^vbackup-qemu-[0-9a-f-]{36}$/;
const SOCKET = 'nbd.sock';
const PID = 'pid';
/** sun_path of unix(7) with its final zero. */
const SOCKET_PATH_LENGTH = 108;
const POLL_MS = 20;
const END_TIMEOUT_MS = 10_000;

/** A name for the private folder of a server, so that it can be noted down before the folder is made. */
export function newQemuFolder(): string {
  const folder = join(tmpdir(), `vbackup-qemu-${randomUUID()}`);
  return Buffer.byteLength(socketIn(folder)) < SOCKET_PATH_LENGTH ? folder : join('/tmp', basename(folder));
}

export const socketIn = (folder: string): string => join(folder, SOCKET);
export const pidFileIn = (folder: string): string => join(folder, PID);

/**
 * Ends the server that a dead run left in its folder, if it still lives, and removes the folder. Idempotent.
 * @throws VBackupError VB_INVALID_ARGUMENT for a folder that `newQemuFolder` did not name, VB_QEMU_FAILED if it does not end
 */
export async function removeQemuFolder(folder: string): Promise<void> {
  if (!FOLDER_NAME.test(basename(folder))) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `${folder} is not the folder of a server of ours`);
  }
  await endLeftServer(folder);
  await withIo(`cannot remove ${folder}`, async () => {
    // Only what is ours, and nothing deeper: the name comes from a journal.
    await rm(socketIn(folder), { force: true });
    await rm(pidFileIn(folder), { force: true });
    await ignoringMissing(() => rmdir(folder));
  });
}

async function endLeftServer(folder: string): Promise<void> {
  const pid = Number((await textOf(pidFileIn(folder))).trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  const deadline = AbortSignal.timeout(END_TIMEOUT_MS);
  while (await serves(pid, folder)) {
    if (deadline.aborted) throw new VBackupError('VB_QEMU_FAILED', `qemu-nbd (process ${pid}) does not end`);
    kill(pid);
    await delay(POLL_MS);
  }
}

/** Another process may have the number by now: only the server's command line names the folder. */
async function serves(pid: number, folder: string): Promise<boolean> {
  return (await textOf(`/proc/${pid}/cmdline`)).split('\0').includes(socketIn(folder));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself; the next look tells.
  }
}

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
