import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The command's own file. */
export const BIN = fileURLToPath(new URL('../../bin/vbackup.mjs', import.meta.url));

export interface CommandResult {
  /** 128 and more where a signal ended it that the command did not catch. */
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Sees what arrives on standard error, as it arrives. */
  readonly onText?: (text: string, child: ChildProcess) => void;
}

/** Runs the real command as a child process, with no environment but the given one. */
export const runCommand = (args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> =>
  runProgram(process.execPath, [BIN, ...args], options);

/** Runs a program that runs the command. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const env = { PATH: process.env['PATH'], HOME: '/nowhere', XDG_CONFIG_HOME: '/nowhere', ...options.env };
  // As root the configuration of the machine would be read otherwise.
  const child = spawn(program, args, {
    env: { VBACKUP_CONFIG: '/dev/null', ...env },
    cwd: options.cwd,
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    options.onText?.(text, child);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? (signal === 'SIGKILL' ? 137 : 128), out, err }));
  });
}
