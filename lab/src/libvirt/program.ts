import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const MAXIMUM_OUTPUT = 16 * 1024 * 1024;

export interface RunOptions {
  readonly timeoutMs?: number;
}

/** Runs a program to its end and returns what it printed. What it complained of is the message of the error. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], {
      maxBuffer: MAXIMUM_OUTPUT,
      timeout: options.timeoutMs ?? 0,
      env: { ...process.env, LC_ALL: 'C' },
    });
    return stdout;
  } catch (error) {
    const complaint = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`${program} ${args.join(' ')}: ${complaint || String(error)}`, { cause: error });
  }
}
