import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';

const PROGRAMS: readonly (readonly string[])[] = [
  ['nbdkit', '--version'],
  ['nbdcopy', '--version'],
  ['qemu-img', '--version'],
  ['virtnbdbackup', '--version'],
];

/** What the ratios were measured on and with. */
export function machineLines(): readonly string[] {
  const processors = cpus();
  const gib = Math.round(totalmem() / 1024 ** 3);
  return [
    `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    `${processors.length} × ${processors[0]?.model ?? 'processor'}, ${gib} GiB, Linux ${release()}`,
    `Node.js ${process.version}, ${PROGRAMS.map(versionOf).join(', ')}`,
  ];
}

function versionOf([program = '', ...words]: readonly string[]): string {
  try {
    const text = execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return `${program} ${/\d+(?:\.\d+)+/.exec(text)?.[0] ?? '?'}`;
  } catch {
    return `${program} is not installed`;
  }
}
