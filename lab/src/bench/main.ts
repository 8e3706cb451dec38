import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Absence, hold, isAbsence, rehearse, type Standing } from './contest.js';
import { machineLines } from './machine.js';
import { json, markdown, misses, standingLine, withNewer } from './report.js';
import { holdFolder, type Scale } from './suite.js';
import { SUITES } from './suites.js';

const MiB = 1024 * 1024;
const QUICK_SIZE = 32 * MiB;

const USAGE = `npm run bench -- [options]
  --only <names>      with commas between: ${Object.keys(SUITES).join(', ')}
  --mib <n>           size of the disks (default 2048)
  --rounds <n>        that count; one more comes before them (default 5)
  --quick             small disks, one round: compares what comes out, and times nothing
  --json <file>       everything that was measured
  --markdown <file>   the table of docs/benchmarks.md
  --append            keeps what that file has of other suites, run before
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    mib: { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
    append: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** @throws Error unless it is a whole number above 0 */
function count(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--${name} ${text}: a whole number above 0 is needed`);
  return Number(text);
}

/** @throws Error if a name is of no suite */
function wanted(): readonly string[] {
  const names = values.only?.split(',') ?? Object.keys(SUITES);
  const unknown = names.filter((name) => !Object.hasOwn(SUITES, name));
  if (unknown.length > 0)
    throw new Error(`there is no ${unknown.join(', ')}; there are ${Object.keys(SUITES).join(', ')}`);
  return names;
}

interface Found {
  readonly standings: Standing[];
  readonly absences: Absence[];
}

async function runSuite(name: string, scale: Scale, { standings, absences }: Found): Promise<void> {
  await using suite = await SUITES[name]?.(scale);
  for await (const contest of suite?.contests() ?? []) {
    if (isAbsence(contest)) {
      absences.push(contest);
      say(`${contest.name}: not run: ${contest.absent}`);
    } else if (scale.quick) {
      await rehearse(contest);
      say(`${contest.name}: right`);
    } else {
      const held = await hold(contest, count('rounds', values.rounds));
      standings.push(...held);
      for (const standing of held) say(standingLine(standing));
    }
  }
}

async function run(): Promise<void> {
  const names = wanted();
  const scale: Scale = { size: values.quick ? QUICK_SIZE : count('mib', values.mib) * MiB, quick: values.quick };
  const machine = machineLines();
  const found: Found = { standings: [], absences: [] };
  const failures: string[] = [];
  for (const line of machine) say(line);
  // A program that is missing, or does something else than it should, costs its suite and no other.
  for (const name of names) {
    try {
      await runSuite(name, scale, found);
    } catch (error) {
      failures.push(`FAILED: ${name}: ${error instanceof Error ? error.message : String(error)}`);
      say(failures.at(-1) ?? '');
    }
  }
  if (!scale.quick) {
    if (values.json !== undefined) await writeFile(values.json, json(found, machine));
    if (values.markdown !== undefined) await writeTable(values.markdown, markdown(found, machine));
  }
  const wrong = [...misses(found).map((miss) => `NOT MET: ${miss}`), ...failures];
  for (const line of wrong) say(line);
  if (wrong.length > 0) process.exitCode = 1;
}

async function writeTable(path: string, table: string): Promise<void> {
  const isMore = values.append && existsSync(path);
  await writeFile(path, isMore ? withNewer(await readFile(path, 'utf8'), table) : table);
}

if (values.help) {
  process.stdout.write(USAGE);
} else {
  await using _folder = await holdFolder();
  await run();
}
