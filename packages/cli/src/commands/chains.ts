import type { Manifest } from '@vbackup/core';

/** The ids from the full to this backup; a missing parent ends the chain early. */
export function chainOf(backup: Manifest, backups: readonly Manifest[]): string[] {
  const byId = new Map(backups.map((each) => [each.id, each]));
  const chain: string[] = [];
  for (let at: Manifest | undefined = backup; at !== undefined && !chain.includes(at.id); ) {
    chain.unshift(at.id);
    at = at.parent === null ? undefined : byId.get(at.parent);
  }
  return chain;
}

/** Guest by guest, chain by chain as they began, parents before children. The order of `backups` decides the rest. */
export function inChainOrder(backups: readonly Manifest[]): Manifest[] {
  const children = new Map<string | null, Manifest[]>();
  const ids = new Set(backups.map(({ id }) => id));
  for (const backup of backups) {
    const parent = backup.parent !== null && ids.has(backup.parent) ? backup.parent : null;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [backup]);
    else siblings.push(backup);
  }
  const guests = Map.groupBy(children.get(null) ?? [], ({ hypervisor, guest }) => `${hypervisor} ${guest.id}`);
  const ordered: Manifest[] = [];
  const waiting = [...guests.values()].flat().reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    ordered.push(next);
    waiting.push(...(children.get(next.id) ?? []).toReversed());
  }
  return ordered;
}
