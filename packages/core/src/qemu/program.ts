import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { VBackupError } from '../errors/index.js';

export type QemuProgram = 'qemu-img' | 'qemu-nbd';

/** A program of QEMU, or another, that runs. */
export interface QemuProcess {
  readonly child: ChildProcess;
  /** How it ended, in words; it does not reject. */
  readonly ended: Promise<string>;
}

export interface SpawnQemuOptions extends SpawnOptions {
  /** It outlives this process, for as long as it takes to finish. Default false. */
  readonly outlives?: boolean | undefined;
}

/**
 * Starts a program of QEMU that is killed with this process, however that ends.
 * @throws VBackupError VB_QEMU_MISSING
 */
export async function spawnQemu(
  program: QemuProgram,
  args: readonly string[],
  { outlives, ...options }: SpawnQemuOptions,
): Promise<QemuProcess> {
  const path = await findInPath(program);
  if (path === undefined) {
    throw new VBackupError('VB_QEMU_MISSING', `${program} is not installed, or not in PATH`, {
      cure: 'install it; on Debian: apt install qemu-utils',
    });
  }
  return await spawnBound([path, ...args], { ...options, deathSignal: outlives === true ? undefined : 'KILL' });
}

export interface SpawnBoundOptions extends SpawnOptions {
  /** What it gets besides PATH. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** What the child gets when this process ends. Undefined: nothing. */
  readonly deathSignal: 'KILL' | 'TERM' | undefined;
}

/**
 * Starts a program that gets a signal when this process ends, however that is (prctl(2), PR_SET_PDEATHSIG), where the
 * system has a setpriv(1) that knows how.
 */
export async function spawnBound(
  [path, ...args]: readonly [string, ...string[]],
  { deathSignal, ...options }: SpawnBoundOptions,
): Promise<QemuProcess> {
  guard ??= findGuard();
  const setpriv = deathSignal === undefined ? undefined : await guard;
  const env = { ...environment(), ...options.env };
  const child =
    setpriv === undefined
      ? spawn(path, args, { ...options, env })
      : spawn(setpriv, ['--pdeathsig', deathSignal ?? 'KILL', '--', path, ...args], { ...options, env });
  return { child, ended: endOfChild(child) };
}

const GUARD_OPTIONS = ['--pdeathsig', 'KILL', '--'];
let guard: Promise<string | undefined> | undefined;

/** QEMU's programs must speak English, and need nothing of ours. */
const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], LC_ALL: 'C' });

async function findGuard(): Promise<string | undefined> {
  const setpriv = await findInPath('setpriv');
  if (setpriv === undefined) return undefined;
  // BusyBox has a setpriv without that option.
  const child = spawn(setpriv, [...GUARD_OPTIONS, 'true'], { stdio: 'ignore', env: environment() });
  return (await endOfChild(child)) === 'exit code 0' ? setpriv : undefined;
}

/** How a child ended, in words; also that it never began. */
async function endOfChild(child: ChildProcess): Promise<string> {
  try {
    const [code, signal]: unknown[] = await once(child, 'close');
    return typeof code === 'number' ? `exit code ${code}` : `killed by ${String(signal)}`;
  } catch (error) {
    return `not started: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Where a program is; only in the absolute folders of PATH. */
export async function findInPath(program: string): Promise<string | undefined> {
  // A relative folder in PATH would let the working directory decide what runs.
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter((each) => isAbsolute(each))) {
    const path = join(folder, program);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder: the next one may have it.
    }
  }
  return undefined;
}
