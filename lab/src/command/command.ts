import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const VBACKUP = fileURLToPath(new URL('../../../packages/cli/bin/vbackup.mjs', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

export interface CommandOptions {
  readonly environment: NodeJS.ProcessEnv;
  /** The command gets SIGKILL when this is raised, if it is still running. */
  readonly kill?: AbortSignal | undefined;
}

/** Runs the real command to its end, or to the moment it is killed. */
export async function command(args: readonly string[], options: CommandOptions): Promise<Outcome> {
  const started = performance.now();
  const child = spawn(process.execPath, [VBACKUP, ...args], {
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (output.stderr += text));
  options.kill?.addEventListener('abort', () => child.kill('SIGKILL'));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  return { code, ...output, elapsedMs: performance.now() - started };
}
