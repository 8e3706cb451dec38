import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Cost } from './contest.js';

/** Runs a program to its end and says what it took, as bash measures it. @throws Error unless it ends with 0 */
export async function timeProgram(words: readonly string[]): Promise<Cost> {
  const child = spawn('bash', ['-c', 'TIMEFORMAT="%R %U %S"; time "$@" 2>&1 >/dev/null', 'bash', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  child.stdout.resume();
  const [code] = await once(child, 'close');
  const text = Buffer.concat(said).toString().trim();
  const times = /([\d.]+) ([\d.]+) ([\d.]+)$/.exec(text)?.slice(1).map(Number);
  const [seconds, user, system] = times ?? [];
  if (code !== 0 || seconds === undefined || user === undefined || system === undefined) {
    throw new Error(`${words.join(' ')} ended with ${String(code)}: ${text}`);
  }
  return { seconds, cpuSeconds: user + system };
}

/** SHA-256 of what a program writes to its standard output. @throws Error unless it ends with 0 */
export async function digestOf([program = '', ...words]: readonly string[]): Promise<string> {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const hash = createHash('sha256');
  child.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}`);
  return hash.digest('hex');
}
