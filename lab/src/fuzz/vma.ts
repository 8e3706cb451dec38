// `pnpm fuzz-vma [cases] [seed]`: reads so many mutated VMA archives in every way, and a share of that of compressed ones and of
// sidecars, and says what came of them. It ends with exit code 1 where one took more than it may.
import { type FuzzOptions, type FuzzReport, fuzzArchives, fuzzCompressed, fuzzSidecars } from '@vbackup/core/testing';

const BATCH = 10_000;
const MAX_CASE_MS = 1000;
const MAX_MEMORY = 64 * 2 ** 20;

const KINDS = [
  { what: 'archives', fuzz: fuzzArchives, share: 1 },
  { what: 'compressed archives', fuzz: fuzzCompressed, share: 1 / 20 },
  { what: 'sidecars', fuzz: fuzzSidecars, share: 1 / 10 },
] as const;

const [cases = '200000', seed = String(Date.now() % 1_000_000_000)] = process.argv.slice(2);
if (!/^\d{1,9}$/.test(cases) || !/^\d{1,12}$/.test(seed)) throw new TypeError('cases and seed are numbers');
for (const { what, fuzz, share } of KINDS) {
  await run(what, fuzz, { cases: Math.ceil(Number(cases) * share), seed: Number(seed) });
}

async function run(
  what: string,
  fuzz: (options: FuzzOptions) => Promise<FuzzReport>,
  { cases: count, seed: first }: FuzzOptions,
): Promise<void> {
  process.stdout.write(`${count} ${what}, seed ${first}\n`);
  const outcomes = new Map<string, number>();
  let slowestMs = 0;
  let mostMemory = 0;
  for (let done = 0; done < count; done += BATCH) {
    const report = await fuzz({ cases: Math.min(BATCH, count - done), seed: first + done });
    for (const [code, number] of report.outcomes) outcomes.set(code, (outcomes.get(code) ?? 0) + number);
    slowestMs = Math.max(slowestMs, report.slowestMs);
    mostMemory = Math.max(mostMemory, report.mostMemory);
  }
  for (const [code, number] of [...outcomes].sort(([, a], [, b]) => b - a)) {
    process.stdout.write(`${number}\t${code}\n`);
  }
  const memory = (mostMemory / 2 ** 20).toFixed(1);
  process.stdout.write(`slowest ${slowestMs.toFixed(0)} ms of processor time, at most ${memory} MiB of memory more\n`);
  if (slowestMs > MAX_CASE_MS || mostMemory > MAX_MEMORY) process.exitCode = 1;
}
