// `npm run demo`: a XenServer disk is backed up in full and incrementally, listed, verified and restored at both points in
// time, by the real command, against the lab's XenAPI host. It ends with what was compared, or with exit code 1.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ListedBackup, listedBackups } from '../command/listing.js';
import { vbackup } from '../command/shell.js';
import { startXapiHost, type XapiHost } from '../xapi/index.js';
import { firstFiles, GuestData } from './guest.js';

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;

/** Ctrl-C: the running command gets it too, cleans up and fails; what runs here ends at the next heading. */
const interruption = new AbortController();

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const heading = (text: string): void => {
  interruption.signal.throwIfAborted();
  say(`\n── ${text}`);
};
const mebibytes = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`;

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'vbackup-demo-'));
  process.once('SIGINT', () => interruption.abort());
  try {
    await using host = await startXapiHost({ password: 'demo' });
    await demonstrate(host, folder);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function demonstrate(host: XapiHost, folder: string): Promise<void> {
  const started = performance.now();
  heading('A XenServer host: HTTPS, changed block tracking, NBD over TLS. It has one disk of 1 GiB');
  const disk = host.addDisk({ size: SIZE, label: 'web01 root' });
  const data = new GuestData('demo');
  let written = 0;
  for (const { offset, length } of firstFiles(SIZE)) {
    for (let at = 0; at < length; at += MiB) host.guestWrite(disk, offset + at, data.next(MiB));
    written += length;
  }
  say(`   ${host.url}, disk ${disk}, of which the guest has written ${mebibytes(written)}`);

  const environment = {
    VBACKUP_REPOSITORY: join(folder, 'repository'),
    VBACKUP_XEN_URL: host.url,
    VBACKUP_XEN_FINGERPRINT: `sha256:${host.fingerprint}`,
    VBACKUP_XEN_PASSWORD: 'demo',
  };
  for (const name of ['VBACKUP_REPOSITORY', 'VBACKUP_XEN_URL', 'VBACKUP_XEN_FINGERPRINT'] as const) {
    say(`   export ${name}=${environment[name]}`);
  }
  say('   export VBACKUP_XEN_PASSWORD=…');

  heading('The first backup is a full one');
  const before = await host.digest(disk);
  await vbackup(['--hypervisor', 'xen', disk], environment);

  heading('The guest goes on: 12 MiB of new data, 8 MiB zeroed, 4 MiB rewritten with the same bytes');
  host.guestWrite(disk, 300 * MiB, data.next(8 * MiB));
  host.guestWrite(disk, 777 * MiB + 65536, data.next(4 * MiB));
  host.guestZero(disk, 5 * MiB, 8 * MiB);
  host.guestWrite(disk, 40 * MiB, host.guestRead(disk, 40 * MiB, 4 * MiB));
  const after = await host.digest(disk);

  heading('The second backup reads only what changed');
  await vbackup(['--hypervisor', 'xen', disk], environment);

  heading('What is there');
  await vbackup(['list'], environment);
  const [full, increment] = await listedBackups(environment);
  if (full === undefined || increment === undefined) throw new Error('two backups were expected');
  await vbackup(['info', `${disk}@latest`], environment);
  heading('Is it whole? Every file and every frame is read and compared with its digest');
  await vbackup(['verify'], environment);

  heading('Both points in time, restored');
  const results = [
    ['full', before, await restore(full, join(folder, 'full.raw'), environment)],
    ['increment', after, await restore(increment, join(folder, 'increment.raw'), environment)],
  ] as const;

  heading('Compared');
  for (const [name, expected, { digest, allocated }] of results) {
    say(`   ${name.padEnd(9)} disk at its snapshot  sha256 ${expected}`);
    say(`   ${''.padEnd(9)} restored image        sha256 ${digest}  ${digest === expected ? 'EQUAL' : 'DIFFERENT'}`);
    say(`   ${''.padEnd(9)} takes ${mebibytes(allocated)} of the file system for a disk of ${mebibytes(SIZE)}`);
  }
  say('');
  for (const [name, { read, stored }] of [
    ['full', full],
    ['increment', increment],
  ] as const) {
    say(`   ${name.padEnd(9)} read ${mebibytes(read)} of ${mebibytes(SIZE)}, stored ${mebibytes(stored)}`);
  }
  const { snapshots, exports, tasks, sessions, bases } = host.leftovers();
  const left = [...snapshots, ...exports, ...tasks].length + sessions;
  say(
    `   left on the host: ${bases.length} base for the next increment, ${left === 0 ? 'nothing else' : `AND ${left} MORE`}`,
  );
  const equal = results.every(([, expected, { digest }]) => digest === expected);
  const good = equal && left === 0 && bases.length === 1;
  say(
    `\n${good ? 'Everything is equal' : 'SOMETHING IS WRONG'}, after ${((performance.now() - started) / 1000).toFixed(0)} s.`,
  );
  if (!good) process.exitCode = 1;
}

interface RestoredImage {
  readonly digest: string;
  /** Bytes that the image takes on the file system. */
  readonly allocated: number;
}

async function restore({ id }: ListedBackup, path: string, environment: NodeJS.ProcessEnv): Promise<RestoredImage> {
  await vbackup(['restore', id, path], environment);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const { blocks } = await stat(path);
  return { digest: hash.digest('hex'), allocated: blocks * 512 };
}

await main();
