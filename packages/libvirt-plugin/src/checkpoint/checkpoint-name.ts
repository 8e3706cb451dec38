import { randomBytes } from 'node:crypto';

/** Crockford's base 32, in lower case. */
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
const TIME_DIGITS = 10;
const RANDOM_DIGITS = 16;
const NAME = /^vbackup-([0-9a-z]{8})-([0-9a-hjkmnp-tv-z]{26})$/;

/** `vbackup-<first 8 characters of the repository's id>-<ulid>`; other names belong to others and are left alone. */
export function checkpointName(repositoryId: string, ulid: string): string {
  return `${prefixOf(repositoryId)}${ulid}`;
}

/** Whether a checkpoint was made for this repository, by its name. */
export function isOfRepository(name: string, repositoryId: string): boolean {
  return NAME.test(name) && name.startsWith(prefixOf(repositoryId));
}

/** Whether a checkpoint was made by vbackup, for whatever repository, by its name. */
export const isOurs = (name: string): boolean => NAME.test(name);

const prefixOf = (repositoryId: string): string => `vbackup-${repositoryId.slice(0, 8)}-`;

/**
 * A ULID (github.com/ulid/spec): 48 bits of time in milliseconds, then 80 random bits, as 26 digits that sort by time.
 * @param random - 10 bytes
 */
export function makeUlid(time: Date = new Date(), random: Buffer = randomBytes(10)): string {
  return digits(BigInt(time.getTime()), TIME_DIGITS) + digits(BigInt(`0x${random.toString('hex')}`), RANDOM_DIGITS);
}

function digits(value: bigint, count: number): string {
  let text = '';
  let rest = value;
  for (let at = 0; at < count; at += 1) {
    text = (DIGITS[Number(rest % 32n)] ?? '') + text;
    rest /= 32n;
  }
  return text;
}
