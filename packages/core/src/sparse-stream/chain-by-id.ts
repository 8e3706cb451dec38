import { VBackupError } from '../errors/index.js';
import type { ChainLink, OrderedLink } from './chain.js';

/** Orders files that name their backups: a tree of which only one branch goes on. */
export function orderById<T extends ChainLink>(links: readonly T[]): OrderedLink<T>[] {
  const byId = new Map<string, T>();
  const children = new Map<string | null, T[]>();
  for (const link of links) {
    const { id, parent } = idsOf(link);
    const twin = byId.get(id);
    if (twin !== undefined) throw new VBackupError('VB_CHAIN_DOUBLED', `${link.name} and ${twin.name} are both ${id}`);
    byId.set(id, link);
    children.set(parent, [...(children.get(parent) ?? []), link]);
  }
  for (const link of links) requireParent(byId, link);
  const ordered: OrderedLink<T>[] = [];
  let parent: T | undefined;
  for (let id: string | null | undefined = null; id !== undefined; ) {
    const stood: T | undefined = parent;
    const siblings: T[] = (children.get(id) ?? []).toSorted((a, b) => compare(a.meta.date, b.meta.date));
    parent = onlyParent(siblings, (link) => children.has(idsOf(link).id), id);
    // The one that others stand on comes last: it holds what its siblings hold.
    const last: readonly T[] = parent === undefined ? [] : [parent];
    ordered.push(...[...siblings.filter((link) => link !== parent), ...last].map((link) => ({ link, parent: stood })));
    id = parent === undefined ? undefined : idsOf(parent).id;
  }
  if (ordered.length !== links.length) {
    const reached = new Set(ordered.map(({ link }) => link));
    const names = links.filter((link) => !reached.has(link)).map(({ name }) => name);
    throw new VBackupError('VB_CHAIN_MISSING', `no full under ${names.join(', ')}`);
  }
  return ordered;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function idsOf(link: ChainLink): { readonly id: string; readonly parent: string | null } {
  return link.meta.vbackup ?? { id: '', parent: null };
}

function requireParent(byId: ReadonlyMap<string, ChainLink>, link: ChainLink): void {
  const { parent } = idsOf(link);
  if (parent === null) return;
  const found = byId.get(parent);
  if (found === undefined) {
    throw new VBackupError('VB_CHAIN_MISSING', `${link.name} stands on backup ${parent}, which is not here`);
  }
  if (found.meta.checkpointName !== link.meta.parentCheckpoint) {
    const names = `${found.meta.checkpointName}, not ${link.meta.parentCheckpoint}`;
    throw new VBackupError('VB_CHAIN_CHANGED', `${link.name} stands on ${found.name}, which holds ${names}`);
  }
}

/** The sibling that the chain goes on with; the others are differentials. */
function onlyParent<T extends ChainLink>(
  siblings: readonly T[],
  isParent: (link: T) => boolean,
  id: string | null,
): T | undefined {
  const [parent, second] = siblings.filter(isParent);
  const [full, other] = siblings;
  const twins = id === null && other !== undefined ? [full, other] : [parent, second];
  if (twins[0] !== undefined && twins[1] !== undefined) {
    const where = id === null ? 'each begin the chain' : `both go on from backup ${id}`;
    throw new VBackupError('VB_CHAIN_DOUBLED', `${twins[0].name} and ${twins[1].name} ${where}`);
  }
  return parent;
}
