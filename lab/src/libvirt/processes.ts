import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface FoundProcess {
  readonly pid: number;
  /** The program's name, without its folder. */
  readonly program: string;
  readonly args: readonly string[];
}

/** The processes of this machine that have `text` in their arguments, other namespaces included. */
export async function processesNaming(text: string): Promise<readonly FoundProcess[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(names.map((name) => describe(Number(name))));
  return all.filter(({ args }) => args.some((arg) => arg.includes(text)));
}

/** Kills every process of a lab, and returns when the last one is gone. */
export async function killProcessesNaming(text: string): Promise<void> {
  for (;;) {
    const left = await processesNaming(text);
    if (left.length === 0) return;
    for (const { pid } of left) signal(pid, 'SIGKILL');
    await delay(20);
  }
}

/** Sends a signal to a process that may have ended already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone.
  }
}

async function describe(pid: number): Promise<FoundProcess> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [program = '', ...args] = text.split('\0');
  return { pid, program: basename(program), args };
}
