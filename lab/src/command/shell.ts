import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const VBACKUP = fileURLToPath(new URL('../../../packages/cli/bin/vbackup.mjs', import.meta.url));

/** Runs the real command as a user would type it, shows it with what it prints, and returns its standard output. */
export async function vbackup(args: readonly string[], environment: NodeJS.ProcessEnv): Promise<string> {
  process.stdout.write(`\n$ vbackup ${args.map(quoted).join(' ')}\n`);
  const child = spawn(process.execPath, [VBACKUP, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Error(`vbackup ${args[0] ?? ''} ended with exit code ${code ?? 'none'}`);
  return output;
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
