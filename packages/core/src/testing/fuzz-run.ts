import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Memory is looked at in every so manieth case: the garbage of the others goes first, and that takes time. */
const MEASURED_EVERY = 8;

// Node shows its collector only to those who ask while it runs; there is no other way to know what one case took.
setFlagsFromString('--expose-gc');
const collectGarbage: () => unknown = runInNewContext('gc');

export interface FuzzOptions {
  readonly cases: number;
  readonly seed: number;
}

export interface FuzzReport {
  /** By code; `none` for what is right. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** Of the process's processor time: on a shared machine the clock tells about its neighbours. */
  readonly slowestMs: number;
  /** Bytes that one case took of the heap and beside it, garbage included; of one case in {@link MEASURED_EVERY}. */
  readonly mostMemory: number;
}

/** Runs so many cases, each with a seed of its own, and measures them. @throws Error with the seed of the case that failed */
export async function runFuzz(
  { cases, seed }: FuzzOptions,
  fuzzOne: (seed: number) => Promise<string> | string,
): Promise<FuzzReport> {
  const outcomes = new Map<string, number>();
  let slowestMs = 0;
  let mostMemory = 0;
  for (let index = 0; index < cases; index += 1) {
    const measured = index % MEASURED_EVERY === 0;
    if (measured) collectGarbage();
    const memory = memoryInUse();
    const cpu = process.cpuUsage();
    const outcome = await named(seed + index, fuzzOne);
    const { user, system } = process.cpuUsage(cpu);
    slowestMs = Math.max(slowestMs, (user + system) / 1000);
    if (measured) mostMemory = Math.max(mostMemory, memoryInUse() - memory);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return { outcomes, slowestMs, mostMemory };
}

async function named(seed: number, fuzzOne: (seed: number) => Promise<string> | string): Promise<string> {
  try {
    return await fuzzOne(seed);
  } catch (cause) {
    throw new Error(`fuzz case ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function memoryInUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
