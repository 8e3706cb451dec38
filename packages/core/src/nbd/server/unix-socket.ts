import { once } from 'node:events';
import type { Stats } from 'node:fs';
import { chmod, link, lstat, mkdtemp, rm, unlink } from 'node:fs/promises';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { systemCode } from '../../storage/io-error.js';

/** sun_path of unix(7) takes 108 bytes, the last of which is zero. */
const MAXIMUM_PATH_BYTES = 107;

export interface UnixSocketOptions {
  readonly path: string;
  /** Permissions, e.g. 0o600. */
  readonly mode: number;
}

/**
 * Has `server` listen on a unix socket that appears at `path` whole: with its permissions, and listening. It is made in a
 * folder of its own that nobody else can enter, and linked to its name, which does not replace anything. A socket there
 * that nobody listens on is removed first.
 * @returns what takes the name away again, if it is still this socket's
 * @throws VBackupError VB_NBD_SERVER_LISTEN when somebody listens there, or it is no socket; errors of the system
 */
export async function listenOnUnixSocket(
  server: net.Server,
  { path, mode }: UnixSocketOptions,
): Promise<() => Promise<void>> {
  // As text: join takes the dot away, and the folder would be made beside the socket's, where it may not be.
  const folder = await mkdtemp(`${dirname(path)}/.`);
  const own = join(folder, 's');
  try {
    refuseLong([path, own]);
    server.listen(own);
    await once(server, 'listening');
    await chmod(own, mode);
    if (!(await linked(own, path))) await replaceStale(own, path);
    const { ino } = await lstat(own);
    return () => removeOwn(path, ino);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Longer ones are cut by the system, or cannot be connected to. */
function refuseLong(paths: readonly string[]): void {
  for (const path of paths) {
    const length = Buffer.byteLength(path);
    if (length <= MAXIMUM_PATH_BYTES) continue;
    throw refusal(`${path} has ${length} bytes, at most ${MAXIMUM_PATH_BYTES} are possible`, 'name a shorter path');
  }
}

async function linked(existing: string, path: string): Promise<boolean> {
  try {
    await link(existing, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Of several that find a dead socket one removes it: whoever holds a name in the abstract namespace (unix(7)), which
 * belongs to that very socket and is free again when its holder dies.
 */
async function replaceStale(own: string, path: string): Promise<void> {
  const found = await refuseUnlessDead(path);
  if (found !== null) {
    const turn = net.createServer();
    try {
      await taken(turn, `\0vbackup-nbd-${found.dev}-${found.ino}`, path);
      if ((await refuseUnlessDead(path))?.ino === found.ino) await ignoringMissing(() => unlink(path));
      if (await linked(own, path)) return;
    } finally {
      turn.close();
    }
  } else if (await linked(own, path)) return;
  throw inUse(path);
}

async function taken(turn: net.Server, name: string, path: string): Promise<void> {
  try {
    turn.listen(name);
    await once(turn, 'listening');
  } catch (error) {
    if (systemCode(error) === 'EADDRINUSE') throw inUse(path);
    throw error;
  }
}

/** Null where nothing is. */
async function refuseUnlessDead(path: string): Promise<Stats | null> {
  const found = await ignoringMissing(() => lstat(path));
  if (found === null) return null;
  if (!found.isSocket()) throw refusal(`${path} is no socket`, 'name another path, or move away what stands there');
  if (await answers(path)) throw inUse(path);
  return found;
}

/** Whether somebody listens. Whoever cannot be asked may well. */
async function answers(socket: string): Promise<boolean> {
  const client = net.connect(socket);
  try {
    await once(client, 'connect');
    return true;
  } catch (error) {
    return !['ECONNREFUSED', 'ENOENT'].includes(systemCode(error) ?? '');
  } finally {
    client.destroy();
  }
}

async function removeOwn(path: string, ino: number): Promise<void> {
  const found = await ignoringMissing(() => lstat(path));
  if (found?.ino === ino && found.isSocket()) await ignoringMissing(() => unlink(path));
}

const inUse = (path: string): VBackupError =>
  refusal(`somebody listens on ${path}`, 'stop the server that does, or name another path');

const refusal = (message: string, cure: string): VBackupError =>
  new VBackupError('VB_NBD_SERVER_LISTEN', message, { cure });
