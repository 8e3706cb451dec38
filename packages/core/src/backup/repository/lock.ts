import { link, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { systemCode, withIo } from '../../storage/io-error.js';
import { parseJson } from './json-text.js';
import { randomId } from './names.js';
import { ownIdentity, processIdentity, stateOf } from './process-identity.js';

const LOCK_NAME = 'lock';
/** Every try that fails means that another process made progress. */
const ATTEMPT_LIMIT = 100;

const lockFile = v.object({
  ...processIdentity.entries,
  token: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
  since: v.string(),
});
type LockFile = v.InferOutput<typeof lockFile>;

/** A held lock. Disposing releases it. */
export interface HeldLock extends AsyncDisposable {
  /** Whether it was taken over from a process that died. */
  readonly takenOver: boolean;
}

/**
 * Takes the lock of a folder, or fails at once.
 *
 * The lock is a file made by link(2), so that it is there whole or not at all. A dead holder's lock is not removed: its
 * successor makes `lock.<token of the dead lock>`, again by link(2), which only one process can do. That file is a lock
 * like the first and may have a successor in turn; the last of the row holds. Having it, the holder moves itself to the
 * front by rename(2) and removes the rest. A process that linked a successor to a row which is gone sees, on looking
 * again from the front, that it is not in the row, and has lost.
 *
 * @param options - `wait`: the cure where a living process of this machine holds it
 * @throws VBackupError VB_REPOSITORY_LOCKED: held by a living process, or by one of another machine, which only its
 * owner can judge
 */
export async function acquireLock(directory: string, { wait = 'wait until it is done' } = {}): Promise<HeldLock> {
  const own: LockFile = { ...ownIdentity(), token: randomId(), since: new Date().toISOString() };
  const candidate = join(directory, `${LOCK_NAME}.${own.token}.new`);
  return withIo(`cannot lock ${directory}`, async () => {
    try {
      await writeCandidate(candidate, own);
      const takenOver = await enter({ directory, candidate, wait }, own);
      return { takenOver, [Symbol.asyncDispose]: () => release(directory, own) };
    } finally {
      await ignoringMissing(() => unlink(candidate));
    }
  });
}

async function writeCandidate(path: string, own: LockFile): Promise<void> {
  await using file = await open(path, 'wx', 0o640);
  await file.writeFile(`${JSON.stringify(own)}\n`);
  await file.sync();
}

interface Entering {
  readonly directory: string;
  readonly candidate: string;
  readonly wait: string;
}

async function enter({ directory, candidate, wait }: Entering, own: LockFile): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPT_LIMIT; attempt += 1) {
    const row = await readRow(directory);
    const holder = row.at(-1);
    if (holder === undefined) {
      if (!(await linked(candidate, join(directory, LOCK_NAME), own))) continue;
      await sweep(directory);
      return false;
    }
    refuseUnlessDead(holder, { directory, wait });
    const successor = join(directory, `${LOCK_NAME}.${holder.token}`);
    if (!(await linked(candidate, successor, own))) continue;
    if ((await readRow(directory)).at(-1)?.token === own.token) {
      await rename(candidate, join(directory, LOCK_NAME));
      await sweep(directory);
      return true;
    }
    await ignoringMissing(() => unlink(successor));
  }
  throw new VBackupError('VB_REPOSITORY_LOCKED', `cannot lock ${directory}: other processes keep taking the lock`);
}

/** From `lock` on, each lock and the one that took it over. */
async function readRow(directory: string): Promise<readonly LockFile[]> {
  const row: LockFile[] = [];
  for (let name = LOCK_NAME; row.length < ATTEMPT_LIMIT; ) {
    const path = join(directory, name);
    const text = await ignoringMissing(() => readFile(path, 'utf8'));
    if (text === null) break;
    const lock = parseLock(text, path);
    row.push(lock);
    name = `${LOCK_NAME}.${lock.token}`;
  }
  return row;
}

function parseLock(text: string, path: string): LockFile {
  try {
    return v.parse(lockFile, JSON.parse(text));
  } catch (error) {
    throw new VBackupError('VB_REPOSITORY_LOCKED', `${path} is not a lock that this version can read`, {
      cause: error,
      cure: `make sure that no vbackup works there, then remove ${path}`,
    });
  }
}

function refuseUnlessDead(holder: LockFile, { directory, wait }: Pick<Entering, 'directory' | 'wait'>): void {
  const state = stateOf(holder);
  if (state === 'dead') return;
  const who = `process ${holder.pid} on ${holder.host} since ${holder.since}`;
  throw new VBackupError('VB_REPOSITORY_LOCKED', `${directory} is locked by ${who}`, {
    cure: state === 'alive' ? wait : `if that process is gone for certain, remove ${join(directory, LOCK_NAME)}`,
  });
}

async function linked(candidate: string, path: string, own: LockFile): Promise<boolean> {
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    if (systemCode(error) !== 'ENOENT') throw error;
    // A holder swept it before it was whole.
    await writeCandidate(candidate, own);
    return false;
  }
}

/** Removes what is left of the row, and of processes that died while they tried. Only the holder may. */
async function sweep(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (/^lock\.[0-9a-f]{16}$/.test(name)) await ignoringMissing(() => unlink(join(directory, name)));
    const token = /^lock\.([0-9a-f]{16})\.new$/.exec(name)?.[1];
    if (token !== undefined) await sweepCandidate(join(directory, name));
  }
}

async function sweepCandidate(path: string): Promise<void> {
  const text = await ignoringMissing(() => readFile(path, 'utf8'));
  if (text === null) return;
  const parsed = v.safeParse(lockFile, parseJson(text));
  // One that is not whole may be of a process that died while it wrote it. Who lives writes it again.
  if (!parsed.success || stateOf(parsed.output) === 'dead') await ignoringMissing(() => unlink(path));
}

async function release(directory: string, own: LockFile): Promise<void> {
  const path = join(directory, LOCK_NAME);
  const text = await ignoringMissing(() => readFile(path, 'utf8'));
  const held = v.safeParse(lockFile, parseJson(text ?? ''));
  if (held.success && held.output.token === own.token) await ignoringMissing(() => unlink(path));
}
