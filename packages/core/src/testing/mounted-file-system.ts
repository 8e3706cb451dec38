import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTools, type Skippable, skipEverywhere } from './tools.js';

const MiB = 1024 * 1024;

/** How a kind is made: the program and arguments before the image's name, the image's length, the mount's type. */
interface Recipe {
  readonly type: string;
  readonly mkfs?: readonly [string, ...string[]];
  /** Bytes; images are sparse. mkfs.xfs refuses less than 300 MiB, mkfs.btrfs less than 109 MiB. */
  readonly size: number;
  readonly mountOptions?: string;
}

const RECIPES = {
  ext4: { type: 'ext4', mkfs: ['mkfs.ext4', '-q', '-F', '-b', '4096'], size: 128 * MiB },
  'ext4-1k': { type: 'ext4', mkfs: ['mkfs.ext4', '-q', '-F', '-b', '1024'], size: 128 * MiB },
  'ext4-inline': { type: 'ext4', mkfs: ['mkfs.ext4', '-q', '-F', '-O', 'inline_data', '-I', '256'], size: 128 * MiB },
  xfs: { type: 'xfs', mkfs: ['mkfs.xfs', '-q', '-f'], size: 320 * MiB },
  'xfs-1k': { type: 'xfs', mkfs: ['mkfs.xfs', '-q', '-f', '-b', 'size=1024'], size: 320 * MiB },
  btrfs: { type: 'btrfs', mkfs: ['mkfs.btrfs', '-q', '-f'], size: 256 * MiB },
  'btrfs-zstd': {
    type: 'btrfs',
    mkfs: ['mkfs.btrfs', '-q', '-f'],
    size: 256 * MiB,
    mountOptions: 'compress-force=zstd',
  },
  tmpfs: { type: 'tmpfs', size: 128 * MiB },
  ramfs: { type: 'ramfs', size: 128 * MiB },
  overlay: { type: 'overlay', size: 128 * MiB },
} as const satisfies Readonly<Record<string, Recipe>>;

/**
 * `1k` has blocks of 1024 bytes; `inline` keeps small files in the inode; `zstd` compresses whatever is written; `ramfs` has no
 * direct writes, and no size that bounds it.
 */
export type FileSystemKind = keyof typeof RECIPES;

/** Every kind on which images may lie, all but `ramfs`. `overlay` lies on an ext4 of its own. */
export const FILE_SYSTEM_KINDS: readonly FileSystemKind[] = [
  'ext4',
  'ext4-1k',
  'ext4-inline',
  'xfs',
  'xfs-1k',
  'btrfs',
  'btrfs-zstd',
  'tmpfs',
  'overlay',
];

/** A fresh file system at `path`. Dispose unmounts it (lazily while something in it is open) and removes its image. */
export interface MountedFileSystem extends Disposable {
  readonly kind: FileSystemKind;
  readonly path: string;
}

/** A block device over a file. Dispose detaches it, never the file. */
export interface LoopDevice extends Disposable {
  /** `/dev/loop7`. */
  readonly path: string;
}

export interface MountOptions {
  /** Bytes of the image (or of the tmpfs), where the default of the kind does not fit. */
  readonly size?: number | undefined;
}

/**
 * Makes and mounts an empty file system for a test; call it in `before` and dispose it in `after`. What is still
 * mounted when the process ends is unmounted then. Skips the test, loudly, where a mkfs program is missing, the kernel
 * has no such file system, or this user cannot mount.
 */
export function mountFileSystem(test: Skippable, kind: FileSystemKind, options: MountOptions = {}): MountedFileSystem {
  const recipe: Recipe = RECIPES[kind];
  requireTools(test, ['mount', 'umount', ...(recipe.mkfs?.slice(0, 1) ?? [])]);
  if (kind === 'tmpfs' || kind === 'ramfs') requireNeeds(test, ['mounts']);
  else requireMounts(test);
  const undo = new Undo();
  try {
    const path = kind === 'overlay' ? mountOverlay(test, undo) : mountPlain(undo, recipe, options);
    return { kind, path, [Symbol.dispose]: () => undo.run() };
  } catch (error) {
    undo.run();
    if (!kernelKnows(recipe.type)) return skipEverywhere(test, `the kernel has no ${recipe.type}`);
    throw error;
  }
}

/**
 * Makes a block device over `file`; dispose it in `after`. Skips the test, loudly, where this user cannot.
 * @param options.sectorLength - bytes; default 512
 */
export function attachLoopDevice(
  test: Skippable,
  file: string,
  options: { readonly sectorLength?: number | undefined } = {},
): LoopDevice {
  requireTools(test, ['losetup']);
  requireNeeds(test, ['loop devices']);
  const undo = new Undo();
  const sector = options.sectorLength === undefined ? [] : ['--sector-size', String(options.sectorLength)];
  const path = attach(undo, file, sector);
  return { path, [Symbol.dispose]: () => undo.run() };
}

/** What a test can need of the machine, beside programs. */
type Need = 'mounts' | 'loop devices';

const refusals = new Map<Need, string | null>();

/** Skips the test, loudly, where this machine gives this user no mounts or no loop devices. */
export const requireMounts = (test: Skippable): void => requireNeeds(test, ['mounts', 'loop devices']);

/** The kinds that cannot be had here, whatever is installed; each is tried. */
export function kindsNotMountable(): readonly FileSystemKind[] {
  return FILE_SYSTEM_KINDS.filter((kind) => {
    let isSkipped = false;
    const skip = (): never => {
      isSkipped = true;
      throw new Error('skipped');
    };
    try {
      mountFileSystem({ skip }, kind)[Symbol.dispose]();
    } catch {
      // A program that is missing is the test's own failure.
    }
    return isSkipped;
  });
}

/** Why this machine gives this user none of them, found out by trying; null where it does. */
function whyWithout(need: Need): string | null {
  const known = refusals.get(need);
  if (known !== undefined) return known;
  const undo = new Undo();
  let refusal: string | null = null;
  try {
    if (need === 'mounts') mountPlain(undo, { type: 'tmpfs', size: MiB }, {});
    else attach(undo, emptyFile(join(temporaryFolder(undo), 'image'), MiB), []);
  } catch (error) {
    refusal = error instanceof Error ? error.message.trim() : String(error);
  } finally {
    undo.run();
  }
  refusals.set(need, refusal);
  return refusal;
}

/** The only reason for which a test may be skipped in CI as well: nothing can be installed or fixed there. */
function requireNeeds(test: Skippable, needs: readonly Need[]): void {
  for (const need of needs) {
    const refusal = whyWithout(need);
    if (refusal !== null) skipEverywhere(test, `this machine gives no ${need}: ${refusal}`);
  }
}

function attach(undo: Undo, file: string, options: readonly string[]): string {
  const device = run('losetup', ['--find', '--show', ...options, file]).trim();
  undo.add(() => run('losetup', ['--detach', device]));
  return device;
}

function emptyFile(path: string, size: number): string {
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

function mountPlain(undo: Undo, recipe: Recipe, { size = recipe.size }: MountOptions): string {
  const folder = temporaryFolder(undo);
  const mountPoint = join(folder, 'mounted');
  mkdirSync(mountPoint);
  const wanted = recipe.mountOptions === undefined ? [] : [recipe.mountOptions];
  if (recipe.mkfs === undefined) {
    mount(undo, ['-t', recipe.type, '-o', [`size=${size}`, ...wanted].join(','), 'none', mountPoint]);
    return mountPoint;
  }
  const image = emptyFile(join(folder, 'image'), size);
  const [program, ...args] = recipe.mkfs;
  run(program, [...args, image]);
  mount(undo, ['-t', recipe.type, '-o', ['loop', ...wanted].join(','), image, mountPoint]);
  return mountPoint;
}

function mountOverlay(test: Skippable, undo: Undo): string {
  const base = mountFileSystem(test, 'ext4');
  undo.add(() => base[Symbol.dispose]());
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(base.path, name));
  if (lower === undefined || upper === undefined || work === undefined || merged === undefined) return base.path;
  for (const folder of [lower, upper, work, merged]) mkdirSync(folder);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  mount(undo, ['-t', 'overlay', '-o', options, 'none', merged]);
  return merged;
}

function mount(undo: Undo, args: readonly string[]): void {
  run('mount', args);
  const mountPoint = args.at(-1) ?? '';
  undo.add(() => {
    try {
      run('umount', [mountPoint]);
    } catch {
      // A file in it is still open, as after a failed test: it vanishes with the last one.
      run('umount', ['--lazy', mountPoint]);
    }
  });
}

function temporaryFolder(undo: Undo): string {
  const folder = mkdtempSync(join(tmpdir(), 'vbackup-mount-'));
  undo.add(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const kernelKnows = (type: string): boolean => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(type);

/** The words of a program that failed are the message. */
function run(program: string, args: readonly string[]): string {
  return execFileSync(program, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

const living = new Set<Undo>();

/** What has to be undone, last first, at the latest when the process ends. */
class Undo {
  readonly #steps: (() => unknown)[] = [];

  add(step: () => unknown): void {
    if (living.size === 0) process.once('exit', undoLiving);
    living.add(this);
    this.#steps.push(step);
  }

  run(): void {
    let failure: { readonly error: unknown } | undefined;
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        step();
      } catch (error) {
        failure ??= { error };
      }
    }
    living.delete(this);
    if (living.size === 0) process.off('exit', undoLiving);
    if (failure !== undefined) throw failure.error;
  }
}

function undoLiving(): void {
  for (const undo of [...living].reverse()) {
    try {
      undo.run();
    } catch {
      // The others are still to be undone.
    }
  }
}
