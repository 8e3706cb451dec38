/** What one run took. */
export interface Cost {
  readonly seconds: number;
  /** User and system time of the client, not of the server. */
  readonly cpuSeconds: number;
  /** The most memory that one process of it had at once; not known of what runs in the bench's own process. */
  readonly peakBytes?: number | undefined;
}

/** One way to do the same work. */
export interface Contender {
  readonly name: string;
  /** Does all of the work once, checks that it was done, and says what it took. @throws Error if it was not */
  run(): Promise<Cost>;
}

/** What ours may take at most; what is not named is not judged. */
export interface Target {
  /** Multiples of what the other takes. */
  readonly time?: number | undefined;
  readonly cpu?: number | undefined;
  readonly peak?: number | undefined;
  /** In itself, whatever the other takes. */
  readonly seconds?: number | undefined;
  readonly peakBytes?: number | undefined;
}

export interface Rival {
  readonly contender: Contender;
  readonly target?: Target | undefined;
}

export interface Contest {
  readonly name: string;
  readonly bytes: number;
  /** What the others are compared with. */
  readonly peer: Contender;
  /** Others who do the same; ours is compared with each that has a target. */
  readonly rivals?: readonly Rival[] | undefined;
  /** The first is judged; more of them are shown beside it. */
  readonly ours: readonly Contender[];
  /** Against the peer. */
  readonly target?: Target | undefined;
  /** No more rounds than these count: a clock decides, and another round says the same. */
  readonly mostRounds?: number | undefined;
}

/** A contest that cannot be held here. */
export interface Absence {
  readonly name: string;
  readonly absent: string;
}

export const isAbsence = (contest: Contest | Absence): contest is Absence => 'absent' in contest;

/** One demand and what became of it: `value` is at most `limit`, or the row is not met. */
export interface Verdict {
  readonly measure: keyof Target;
  readonly against: string;
  readonly value: number;
  readonly limit: number;
  readonly met: boolean;
}

/** One line of the result: medians, and ratios to the peer of the same contest. */
export interface Standing extends Cost {
  readonly contest: string;
  readonly contender: string;
  readonly bytesPerSecond: number;
  readonly cpuSecondsPerGiB: number;
  readonly timeRatio: number;
  readonly cpuRatio: number;
  /** Of the one that is judged; of the others there are none. */
  readonly verdicts: readonly Verdict[];
}

const GIB = 1024 ** 3;

/** What ours may have of memory, whatever it does. */
export const PEAK_LIMIT = 200 * 1024 * 1024;

/** Lets the contenders take turns, so that what disturbs the machine disturbs all of them; the first round is not counted. */
export async function hold(contest: Contest, rounds: number): Promise<readonly Standing[]> {
  const rivals = contest.rivals ?? [];
  const contenders = [contest.peer, ...rivals.map(({ contender }) => contender), ...contest.ours];
  const costs = contenders.map((): Cost[] => []);
  for (let round = 0; round <= Math.min(rounds, contest.mostRounds ?? rounds); round++) {
    for (const [index, contender] of contenders.entries()) {
      const cost = await contender.run();
      if (round > 0) costs[index]?.push(cost);
    }
  }
  const medians = costs.map(medianCost);
  const base = medians[0] ?? NOTHING;
  const judged = rivals.length + 1;
  return contenders.map((contender, index) => {
    const cost = medians[index] ?? NOTHING;
    const others = [{ contender: contest.peer, target: contest.target }, ...rivals].map((rival, at) => ({
      ...rival,
      cost: medians[at] ?? NOTHING,
    }));
    return {
      contest: contest.name,
      contender: contender.name,
      ...cost,
      bytesPerSecond: contest.bytes / cost.seconds,
      cpuSecondsPerGiB: (cost.cpuSeconds * GIB) / contest.bytes,
      timeRatio: cost.seconds / base.seconds,
      cpuRatio: cost.cpuSeconds / base.cpuSeconds,
      verdicts: index === judged ? judge(cost, others) : [],
    };
  });
}

/** Runs every contender once, for what its run checks. */
export async function rehearse({ peer, rivals = [], ours }: Contest): Promise<void> {
  for (const contender of [peer, ...rivals.map((rival) => rival.contender), ...ours]) await contender.run();
}

const NOTHING: Cost = { seconds: Number.NaN, cpuSeconds: Number.NaN };

interface Other extends Rival {
  readonly cost: Cost;
}

function judge(ours: Cost, others: readonly Other[]): readonly Verdict[] {
  const verdicts = others.flatMap(({ contender, target = {}, cost }) => {
    const against = contender.name;
    const of = (measure: keyof Target, value: number): readonly Verdict[] => {
      const limit = target[measure];
      return limit === undefined ? [] : [{ measure, against, value, limit, met: value <= limit }];
    };
    return [
      ...of('time', ours.seconds / cost.seconds),
      ...of('cpu', ours.cpuSeconds / cost.cpuSeconds),
      ...of('peak', (ours.peakBytes ?? Number.NaN) / (cost.peakBytes ?? Number.NaN)),
      ...of('seconds', ours.seconds),
      ...of('peakBytes', ours.peakBytes ?? Number.NaN),
    ];
  });
  if (ours.peakBytes === undefined || verdicts.some(({ measure }) => measure === 'peakBytes')) return verdicts;
  const met = ours.peakBytes <= PEAK_LIMIT;
  return [...verdicts, { measure: 'peakBytes', against: '', value: ours.peakBytes, limit: PEAK_LIMIT, met }];
}

function medianCost(costs: readonly Cost[]): Cost {
  const peaks = costs.flatMap(({ peakBytes }) => peakBytes ?? []);
  return {
    seconds: median(costs.map(({ seconds }) => seconds)),
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
    // Not the median: what it once had is what a machine must have.
    peakBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
  };
}

/** The middle of an odd count, the mean of the middle two of an even one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
