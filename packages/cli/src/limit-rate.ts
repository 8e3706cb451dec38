import type { RateLimiter } from '@vbackup/core';

/** For messages. */
export const RATE_SYNTAX = 'bytes per second, as 500K, 20M or 1.5G';

const SYNTAX = /^(\d{1,15}(?:\.\d{1,3})?)([KMGT]?)$/i;
const UNITS = ['', 'K', 'M', 'G', 'T'];

/** `20M` and the like as bytes per second, with units of 1024 as curl has them; undefined if it is not written so, or nothing. */
export function parseRate(text: string): number | undefined {
  const [, digits, unit = ''] = SYNTAX.exec(text) ?? [];
  const rate = Math.floor(Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase()));
  return rate >= 1 && Number.isSafeInteger(rate) ? rate : undefined;
}

/** What a command is held to; undefined where it may go as fast as it can. */
export async function limiterOf(bytesPerSecond: number | undefined): Promise<RateLimiter | undefined> {
  if (bytesPerSecond === undefined) return undefined;
  const { RateLimiter } = await import('@vbackup/core/pace');
  return new RateLimiter(bytesPerSecond);
}
