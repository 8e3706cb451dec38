import type { Clock, OpenTarget, PveRestoreTarget, RateLimiter } from '@vbackup/core';

/** What a target asks for of its rate. */
export type Throttled = Pick<PveRestoreTarget, 'device' | 'bytesPerSecond' | 'group'>;

export interface ThrottleOptions {
  /** Told what the lines leave open. */
  readonly warn: (message: string) => void;
  /** Default: the time of this machine. */
  readonly clock?: Clock | undefined;
}

/**
 * The limits that qmrestore sets: devices of one group share one. It names the same rate on every line of a group; of several
 * the least holds (QEMU takes the last), and a group without any is not limited (nor is it by QEMU). Both are told.
 */
export async function throttles(
  targets: readonly Throttled[],
  { warn, clock }: ThrottleOptions,
): Promise<(target: Throttled) => Throttle> {
  const { pacedTarget, RateLimiter } = await import('@vbackup/core/pace');
  const limiters = new Map<string, RateLimiter | undefined>();
  for (const group of new Set(targets.flatMap(({ group }) => group ?? []))) {
    const rate = rateOf(group, targets, warn);
    limiters.set(group, rate === undefined ? undefined : new RateLimiter(rate, clock));
  }
  return ({ bytesPerSecond, group }) => {
    const own = bytesPerSecond === undefined ? undefined : new RateLimiter(bytesPerSecond, clock);
    const limiter = group === undefined ? own : limiters.get(group);
    return limiter === undefined ? (openTarget) => openTarget : (openTarget) => pacedTarget(openTarget, limiter);
  };
}

export type Throttle = (openTarget: OpenTarget) => OpenTarget;

function rateOf(group: string, targets: readonly Throttled[], warn: ThrottleOptions['warn']): number | undefined {
  const members = targets.filter((target) => target.group === group);
  const rates = members.flatMap(({ bytesPerSecond }) => bytesPerSecond ?? []);
  const names = members.map(({ device }) => device.name).join(', ');
  if (rates.length === 0) {
    warn(`throttling.group=${group} of ${names} has no throttling.bps: it is not limited`);
    return undefined;
  }
  const least = Math.min(...rates);
  if (rates.some((rate) => rate !== least)) {
    const all = [...new Set(rates)].join(', ');
    warn(`throttling.group=${group} of ${names} has the rates ${all}: the least holds`);
  }
  return least;
}
