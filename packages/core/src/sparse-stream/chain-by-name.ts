import { VBackupError } from '../errors/index.js';
import type { ChainLink, OrderedLink } from './chain.js';

/** Dates are local and have no zone: a clock may have gone back by this much without anything being wrong. */
const MAX_CLOCK_SHIFT_MS = 2 * 60 * 60 * 1000;

/**
 * Orders files of virtnbdbackup, whose META has names and dates only. What they look like:
 *
 *     full  0 ← ''        copy  0 ← ''        inc N ← N-1        diff N ← N-1, as the next increment
 *     of a machine that was off: N ← N, in the place of inc N unless N is the full
 *
 * A differential changes nothing for what follows: the increment of the same name holds all that it holds.
 */
export function orderByName<T extends ChainLink>(links: readonly T[]): OrderedLink<T>[] {
  const fulls = links.filter(({ meta }) => !meta.incremental).toSorted(byDate);
  const [first] = fulls;
  if (first === undefined) throw new VBackupError('VB_CHAIN_MISSING', `no full under ${namesOf(links)}`);
  requireDistinctDates(fulls);
  return fulls.flatMap((full, index) => {
    const next = fulls[index + 1];
    const increments = links.filter(
      ({ meta }) =>
        meta.incremental &&
        (index === 0 || meta.date >= full.meta.date) &&
        (next === undefined || meta.date < next.meta.date),
    );
    return orderLine(full, increments);
  });
}

/** One full and what stands on it. */
function orderLine<T extends ChainLink>(full: T, increments: readonly T[]): OrderedLink<T>[] {
  const ordered: OrderedLink<T>[] = [{ link: full, parent: undefined }];
  const rest = new Set(increments);
  let parent: T | undefined = full;
  while (parent !== undefined) {
    const stood: T = parent;
    const siblings = [...rest]
      .filter(({ meta }) => meta.parentCheckpoint === stood.meta.checkpointName)
      .toSorted(byDate);
    requireDistinctDates(siblings);
    for (const link of siblings) {
      requireOlder(stood, link);
      rest.delete(link);
      ordered.push({ link, parent: stood });
    }
    parent = nextParent(siblings.filter((link) => !isOffline(link)));
  }
  if (rest.size > 0) refuseRest([...rest]);
  return ordered;
}

/** Among files of one name, the increment is the last: a later differential would carry the next name. */
function nextParent<T extends ChainLink>(siblings: readonly T[]): T | undefined {
  const last = siblings.at(-1);
  for (const link of siblings) {
    if (link === last) continue;
    const doubled = link.meta.checkpointName !== last?.meta.checkpointName || link.level === 'inc';
    if (doubled) throw new VBackupError('VB_CHAIN_DOUBLED', `${link.name} and ${last?.name} stand on the same backup`);
  }
  return last?.level === 'diff' ? undefined : last;
}

/** A backup of a machine that was off carries its parent's own name. */
const isOffline = ({ meta }: ChainLink): boolean => meta.checkpointName === meta.parentCheckpoint;

function refuseRest(rest: readonly ChainLink[]): never {
  const replaced = rest.find(isOffline);
  if (replaced !== undefined) {
    throw new VBackupError('VB_CHAIN_CHANGED', `${replaced.name} took the place of the backup that it stands on`);
  }
  const names = new Set(rest.map(({ meta }) => meta.checkpointName));
  const lowest = rest.find(({ meta }) => !names.has(meta.parentCheckpoint)) ?? rest[0];
  const parent = lowest?.meta.parentCheckpoint;
  throw new VBackupError('VB_CHAIN_MISSING', `${lowest?.name} stands on ${parent}, which is not here`);
}

function requireOlder(parent: ChainLink, link: ChainLink): void {
  const shift = Date.parse(`${parent.meta.date}Z`) - Date.parse(`${link.meta.date}Z`);
  if (shift > MAX_CLOCK_SHIFT_MS) {
    throw new VBackupError('VB_CHAIN_CHANGED', `${parent.name} is newer than ${link.name}, which stands on it`);
  }
}

function requireDistinctDates(links: readonly ChainLink[]): void {
  for (const [index, link] of links.entries()) {
    const before = links[index - 1];
    if (before?.meta.date === link.meta.date) {
      throw new VBackupError('VB_CHAIN_DOUBLED', `${before.name} and ${link.name} are the same link of the chain`);
    }
  }
}

const byDate = (a: ChainLink, b: ChainLink): number =>
  a.meta.date < b.meta.date ? -1 : a.meta.date > b.meta.date ? 1 : 0;

const namesOf = (links: readonly ChainLink[]): string => links.map(({ name }) => name).join(', ');
