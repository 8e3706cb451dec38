import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Cost } from './contest.js';

const MEASURE = fileURLToPath(new URL('../../measure.py', import.meta.url));
const COMMAND = fileURLToPath(new URL('../../../packages/cli/bin/vbackup.mjs', import.meta.url));
/** Debian's own: another one that stands before it in the path lacks Debian's modules. */
export const PYTHON = '/usr/bin/python3';

export interface ProgramOptions {
  /** Variables beside those of this process. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

/** The words that run the command as users do, with this Node. */
export const vbackup = (...words: readonly string[]): readonly string[] => [process.execPath, COMMAND, ...words];

/**
 * Runs a program to its end and says what it took as the kernel counts it: its own time, CPU and memory, not those of servers.
 * @throws Error unless it ends with 0
 */
export async function timeProgram(words: readonly string[], options: ProgramOptions = {}): Promise<Cost> {
  const child = spawn(PYTHON, [MEASURE, '3', ...words], {
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const said: Buffer[] = [];
  const report: Buffer[] = [];
  child.stderr?.on('data', (chunk: Buffer) => said.push(chunk));
  const [, , , results] = child.stdio;
  if (isReadable(results)) results.on('data', (chunk: Buffer) => report.push(chunk));
  await once(child, 'close');
  const result: unknown = JSON.parse(Buffer.concat(report).toString() || 'null');
  if (!isResult(result) || result.code !== 0) {
    throw new Error(`${words.join(' ')} failed: ${Buffer.concat(said).toString().trim().slice(-2000)}`);
  }
  return { seconds: result.seconds, cpuSeconds: result.cpuSeconds, peakBytes: result.peakBytes };
}

interface Result extends Required<Cost> {
  readonly code: number;
}

const isResult = (value: unknown): value is Result =>
  typeof value === 'object' && value !== null && 'seconds' in value && 'peakBytes' in value && 'code' in value;

const isReadable = (stream: unknown): stream is Readable =>
  typeof stream === 'object' && stream !== null && 'on' in stream && 'pipe' in stream;

/** SHA-256 of what a program writes to its standard output. @throws Error unless it ends with 0 */
export async function digestOf([program = '', ...words]: readonly string[]): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const hash = createHash('sha256');
  child.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}`);
  return hash.digest('hex');
}
