/** What one run took. */
export interface Cost {
  readonly seconds: number;
  /** User and system time of the client, not of the server. */
  readonly cpuSeconds: number;
}

/** One way to do the same work. */
export interface Contender {
  readonly name: string;
  /** Does all of the work once, checks that it was done, and says what it took. */
  run(): Promise<Cost>;
}

export interface Ratios {
  readonly time: number;
  readonly cpu: number;
}

export interface Contest {
  readonly name: string;
  readonly bytes: number;
  /** What the others are compared with. */
  readonly peer: Contender;
  readonly ours: readonly Contender[];
  /** What time and CPU of ours may be, as multiples of the peer's, where that was fixed. */
  readonly target?: Ratios | undefined;
}

/** One line of the result: medians, and ratios to the peer of the same contest. */
export interface Standing extends Cost {
  readonly contest: string;
  readonly contender: string;
  readonly bytesPerSecond: number;
  readonly timeRatio: number;
  readonly cpuRatio: number;
  readonly target: Ratios | undefined;
}

/** Lets the contenders take turns, so that what disturbs the machine disturbs all of them; the first round is not counted. */
export async function hold(contest: Contest, rounds: number): Promise<readonly Standing[]> {
  const contenders = [contest.peer, ...contest.ours];
  const costs = contenders.map((): Cost[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of contenders.entries()) {
      const cost = await contender.run();
      if (round > 0) costs[index]?.push(cost);
    }
  }
  const medians = costs.map(medianCost);
  const base = medians[0] ?? { seconds: Number.NaN, cpuSeconds: Number.NaN };
  return contenders.map((contender, index) => {
    const cost = medians[index] ?? base;
    return {
      contest: contest.name,
      contender: contender.name,
      target: contest.target,
      ...cost,
      bytesPerSecond: contest.bytes / cost.seconds,
      timeRatio: cost.seconds / base.seconds,
      cpuRatio: cost.cpuSeconds / base.cpuSeconds,
    };
  });
}

function medianCost(costs: readonly Cost[]): Cost {
  return {
    seconds: median(costs.map(({ seconds }) => seconds)),
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
  };
}

/** The middle of an odd count, the mean of the middle two of an even one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
