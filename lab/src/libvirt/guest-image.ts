import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './program.js';

/** A kernel and an initial file system that boot to a guest agent without any disk. */
export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
}

/** And what others need to boot the same kernel with their own initial file system. */
export interface BuiltGuest extends GuestImage {
  /** Of the kernel: what `uname -r` says in the guest. */
  readonly release: string;
  /** The folder of the kernel's modules. */
  readonly modules: string;
}

const BUILD_TIMEOUT_MS = 600_000;

/** Scripts are no output of tsc: they are taken from the sources, which the private lab always has. */
export const labScript = (name: string): string => fileURLToPath(new URL(`../../src/libvirt/${name}`, import.meta.url));

/**
 * Builds the guest once per user and version of its scripts: 27 MB are downloaded by apt. It stays in the folder of caches
 * (`$XDG_CACHE_HOME/vbackup-lab`). Several processes may ask at once.
 */
export async function guestImage(): Promise<BuiltGuest> {
  const folder = join(cacheFolder(), `guest-${await versionOfScripts()}`);
  if (!(await exists(folder))) await build(folder);
  const [release, ...others] = await readdir(join(folder, 'modules'));
  if (release === undefined || others.length > 0) throw new Error(`${folder}/modules is not one kernel's`);
  const modules = join(folder, 'modules', release);
  return { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz'), modules, release };
}

/** Where the lab keeps what is expensive to make. */
export const cacheFolder = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'vbackup-lab');

async function build(folder: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const work = await mkdtemp(join(cacheFolder(), 'build-'));
  try {
    const args = [labScript('build-guest.sh'), work, labScript('guest-init.sh')];
    await run('bash', args, { timeoutMs: BUILD_TIMEOUT_MS });
    await chmod(work, 0o755);
    // Whoever is second finds the folder of the first one, which is as good.
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function versionOfScripts(): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['build-guest.sh', 'guest-init.sh']) hash.update(await readFile(labScript(name)));
  return hash.digest('hex').slice(0, 12);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
