// `pnpm fuzz-vma [cases] [seed]`: reads so many mutated VMA archives in every way, and says what came of them. It ends with
// exit code 1 where one took more than it may.
import { fuzzArchives } from '@vbackup/core/testing';

const BATCH = 10_000;
const MAX_CASE_MS = 1000;
const MAX_MEMORY = 64 * 2 ** 20;

const [cases = '200000', seed = String(Date.now() % 1_000_000_000)] = process.argv.slice(2);
if (!/^\d{1,9}$/.test(cases) || !/^\d{1,12}$/.test(seed)) throw new TypeError('cases and seed are numbers');
process.stdout.write(`${cases} cases, seed ${seed}\n`);
const outcomes = new Map<string, number>();
let slowestMs = 0;
let mostMemory = 0;
for (let done = 0; done < Number(cases); done += BATCH) {
  const report = await fuzzArchives({ cases: Math.min(BATCH, Number(cases) - done), seed: Number(seed) + done });
  for (const [code, count] of report.outcomes) outcomes.set(code, (outcomes.get(code) ?? 0) + count);
  slowestMs = Math.max(slowestMs, report.slowestMs);
  mostMemory = Math.max(mostMemory, report.mostMemory);
}
for (const [code, count] of [...outcomes].sort(([, a], [, b]) => b - a)) process.stdout.write(`${count}\t${code}\n`);
process.stdout.write(
  `slowest ${slowestMs.toFixed(0)} ms of processor time, at most ${(mostMemory / 2 ** 20).toFixed(1)} MiB of memory more\n`,
);
if (slowestMs > MAX_CASE_MS || mostMemory > MAX_MEMORY) process.exitCode = 1;
