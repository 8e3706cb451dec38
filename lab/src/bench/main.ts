import { type Contest, hold, type Standing } from './contest.js';
import { FragmentedBenchFile } from './filemap.js';
import { NbdCopyBench } from './nbd-copy.js';
import { checkReaders, readContest } from './nbd-read.js';
import { BenchDisk } from './server.js';
import { SparseBenchFile } from './sparse-copy.js';
import { VmaBenchFile } from './vma-archive.js';

const MiB = 1024 * 1024;
const DISK_LENGTH = Number(process.env['VBACKUP_BENCH_MIB'] ?? 1024) * MiB;
const ROUNDS = Number(process.env['VBACKUP_BENCH_ROUNDS'] ?? 5);

/** One line for people: what was measured is the ratio; the rest says how much noise there was. */
function line(standing: Standing): string {
  const cells = [
    standing.contest.padEnd(34),
    standing.contender.padEnd(24),
    `${standing.seconds.toFixed(3)} s`.padStart(9),
    `${(standing.bytesPerSecond / 1e9).toFixed(2)} GB/s`.padStart(10),
    `time ×${standing.timeRatio.toFixed(2)}`.padStart(11),
    `CPU ×${standing.cpuRatio.toFixed(2)}`.padStart(10),
    targetText(standing),
  ];
  return cells.join(' ').trimEnd();
}

function targetText({ target }: Standing): string {
  return target === undefined ? '' : `(ours: at most ×${target.time.toFixed(2)} and ×${target.cpu.toFixed(2)})`;
}

async function race(contest: Contest): Promise<void> {
  for (const standing of await hold(contest, ROUNDS)) process.stdout.write(`${line(standing)}\n`);
}

async function raceReads(): Promise<void> {
  await using disk = await BenchDisk.make(DISK_LENGTH);
  const sha256 = await disk.digest();
  const races = [
    { name: 'read to null, unix, qemu-nbd', uri: await disk.qemuNbd(), target: { time: 1, cpu: 0.9 } },
    { name: 'read to null, unix, nbdkit', uri: await disk.nbdkit(), target: undefined },
    { name: 'read to null, TLS, nbdkit', uri: await disk.nbdkitTls(), target: { time: 1.1, cpu: 1.1 } },
  ];
  for (const { name, uri, target } of races) {
    const export_ = { uri, bytes: disk.bytes };
    await checkReaders(export_, sha256);
    await race(readContest(name, export_, target));
  }
}

async function raceCopies(): Promise<void> {
  await using sparse = await SparseBenchFile.make(DISK_LENGTH);
  for (const contest of sparse.contests()) await race(contest);
}

async function raceMaps(): Promise<void> {
  await using fragmented = await FragmentedBenchFile.make();
  for (const contest of fragmented.contests()) await race(contest);
}

async function raceArchives(): Promise<void> {
  await using archives = await VmaBenchFile.make(DISK_LENGTH);
  for (const contest of archives.contests()) await race(contest);
}

async function raceNbdCopies(): Promise<void> {
  await using bench = await NbdCopyBench.make(DISK_LENGTH);
  for (const contest of bench.contests()) await race(contest);
}

const RACES = { read: raceReads, copy: raceCopies, 'nbd-copy': raceNbdCopies, map: raceMaps, vma: raceArchives };
/** Names with commas between: `VBACKUP_BENCH_ONLY=map,copy`. */
const wanted = process.env['VBACKUP_BENCH_ONLY']?.split(',');
for (const [name, run] of Object.entries(RACES)) if (wanted?.includes(name) !== false) await run();
