import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import * as v from 'valibot';
import { systemCode } from '../../storage/io-error.js';

/** Who holds a lock: a process that is not mixed up with a later one of the same number. */
export const processIdentity = v.object({
  host: v.string(),
  /** machine-id(5): hosts may share a name; null where the system has none. */
  machineId: v.optional(v.nullable(v.string()), null),
  /** Changes with every boot; null where the system does not say. */
  bootId: v.nullable(v.string()),
  /** Process numbers mean something only inside it; null where the system has none. */
  pidNamespace: v.nullable(v.string()),
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** Ticks since boot (proc(5), /proc/pid/stat, field 22); null where the system does not say. */
  startTime: v.nullable(v.string()),
});

export type ProcessIdentity = v.InferOutput<typeof processIdentity>;

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return {
    host: hostname(),
    machineId: quietly(() => readFileSync('/etc/machine-id', 'utf8').trim()),
    bootId: quietly(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidNamespace: quietly(() => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    startTime: startTimeOf(process.pid),
  };
}

/** `unknown` where the process belongs to another machine or container: nobody here can tell. */
export function stateOf(identity: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  const own = ownIdentity();
  if (identity.host !== own.host || identity.machineId !== own.machineId) return 'unknown';
  if (identity.bootId !== own.bootId) return own.bootId === null || identity.bootId === null ? 'unknown' : 'dead';
  if (identity.pidNamespace !== own.pidNamespace) return 'unknown';
  if (!exists(identity.pid) || isZombie(identity.pid)) return 'dead';
  const startTime = startTimeOf(identity.pid);
  // Of another user's process, /proc may say nothing (proc(5), hidepid).
  if (startTime === null && identity.startTime !== null) return exists(identity.pid) ? 'unknown' : 'dead';
  return startTime === identity.startTime ? 'alive' : 'dead';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ESRCH';
  }
}

const startTimeOf = (pid: number): string | null => statOf(pid)[19] ?? null;

const isZombie = (pid: number): boolean => statOf(pid)[0] === 'Z';

/** The fields of /proc/pid/stat from the third on. */
function statOf(pid: number): readonly string[] {
  const stat = quietly(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (stat === null) return [];
  // The second field is the command in brackets, and may hold anything, brackets and spaces included.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function quietly<Result>(read: () => Result): Result | null {
  try {
    return read();
  } catch {
    return null;
  }
}
