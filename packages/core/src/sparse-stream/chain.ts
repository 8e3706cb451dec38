import { VBackupError } from '../errors/index.js';
import { orderById } from './chain-by-id.js';
import { orderByName } from './chain-by-name.js';
import type { StreamMeta } from './meta.js';

/** One file of a chain. */
export interface ChainLink {
  /** What messages call it: the file's name. */
  readonly name: string;
  readonly meta: StreamMeta;
  /** Where the file's name tells: META does not distinguish a differential from an increment, nor a copy from a full. */
  readonly level?: 'full' | 'inc' | 'diff' | 'copy' | undefined;
}

/** Which file stands on which: undefined under a full or a copy. */
export interface OrderedLink<T extends ChainLink> {
  readonly link: T;
  readonly parent: T | undefined;
}

/**
 * Orders the files of one disk so that, applied one after the other, they give the image at each file's time; a full in
 * between starts anew. Order and integrity come from META alone, never from file times: files of vbackup by their ids,
 * others by `parentCheckpoint` and `checkpointName`, with `date` among files that carry the same names (a differential,
 * and the increment after it).
 * @throws VBackupError VB_CHAIN_MISSING, VB_CHAIN_DOUBLED, VB_CHAIN_FOREIGN, VB_CHAIN_CHANGED
 */
export function orderChain<T extends ChainLink>(links: readonly T[]): OrderedLink<T>[] {
  const [first] = links;
  if (first === undefined) throw new VBackupError('VB_CHAIN_MISSING', 'chain has no file');
  for (const link of links) requireKin(first, link);
  return first.meta.vbackup === undefined ? orderByName(links) : orderById(links);
}

/**
 * The files that the image at `tip` needs, from its full to itself.
 * @param ordered - what {@link orderChain} returned
 * @throws VBackupError VB_CHAIN_MISSING if `tip` is not among them
 */
export function ancestry<T extends ChainLink>(ordered: readonly OrderedLink<T>[], tip: T): T[] {
  const parents = new Map(ordered.map(({ link, parent }) => [link, parent]));
  if (!parents.has(tip)) throw new VBackupError('VB_CHAIN_MISSING', `${tip.name} is not part of the chain`);
  const path: T[] = [];
  for (let link: T | undefined = tip; link !== undefined; link = parents.get(link)) path.unshift(link);
  return path;
}

function requireKin(first: ChainLink, link: ChainLink): void {
  const foreign = (what: string): never => {
    throw new VBackupError('VB_CHAIN_FOREIGN', `${link.name} does not belong to the chain of ${first.name}: ${what}`);
  };
  const { diskName, virtualSize, incremental, parentCheckpoint, vbackup } = link.meta;
  if (diskName !== first.meta.diskName) foreign(`it is of disk "${diskName}", not "${first.meta.diskName}"`);
  if (virtualSize !== first.meta.virtualSize) {
    foreign(`its disk has ${virtualSize} bytes, not ${first.meta.virtualSize}`);
  }
  if ((vbackup === undefined) !== (first.meta.vbackup === undefined)) foreign('only one of them was made by vbackup');
  const parent = vbackup === undefined ? parentCheckpoint : (vbackup.parent ?? '');
  if (incremental === (parent === '')) {
    const what = incremental ? 'an increment that names no parent' : `a full that names the parent ${parent}`;
    throw new VBackupError('VB_CHAIN_CHANGED', `${link.name} is ${what}`);
  }
}
