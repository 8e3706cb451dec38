import { VBackupError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import type { VerifyJob, VerifySummary } from './jobs.js';
import type { Manifest } from './manifest.js';
import type { Catalogue, Damage } from './repository.js';
import { sharedWorkers } from './workers/worker-pool.js';

/**
 * Reads backups whole, with all that they stand on, each once. Damage is a result, not an error: everything is checked
 * whatever is found before.
 */
export function runVerify(job: VerifyJob): Promise<VerifySummary> {
  return withAbortCode(job.signal, () => verify(job));
}

async function verify(job: VerifyJob): Promise<VerifySummary> {
  const started = performance.now();
  const { repository, signal, onEvent } = job;
  await using _first = sharedWorkers.lease({ work: 0 });
  const catalogue = await repository.catalogue({ signal });
  const damage: Damage[] = job.backups === undefined ? damagedManifests(catalogue) : [];
  const checked: { manifest: Manifest; damage: readonly Damage[] }[] = [];
  const manifests = withAncestors(job.backups ?? catalogue.backups, catalogue, damage);
  const stored = manifests.flatMap(({ disks }) => disks).reduce((sum, { storedLength }) => sum + storedLength, 0);
  await using _workers = sharedWorkers.lease({ work: stored });
  for (const manifest of manifests) {
    signal?.throwIfAborted();
    onEvent?.({ type: 'start', work: 'verify', id: manifest.id, guest: manifest.guest.name });
    checked.push({ manifest, damage: await repository.verify(manifest, { signal, onEvent }) });
  }
  return { checked, damage, elapsedMs: performance.now() - started };
}

const damagedManifests = ({ damaged }: Catalogue): Damage[] =>
  damaged.map(({ path, error }) => ({
    code: error instanceof VBackupError ? error.code : 'VB_MANIFEST_DAMAGED',
    message: error.message,
    file: path,
  }));

/** Each backup once, what it stands on before it; links that are not there go to `damage`. */
function withAncestors(wanted: readonly Manifest[], catalogue: Catalogue, damage: Damage[]): readonly Manifest[] {
  const byId = new Map(catalogue.backups.map((manifest) => [manifest.id, manifest]));
  const ordered = new Set<Manifest>();
  for (const backup of wanted) {
    const row: Manifest[] = [];
    let next: Manifest | undefined = byId.get(backup.id) ?? backup;
    while (next !== undefined && !ordered.has(next) && !row.includes(next)) {
      row.push(next);
      const parent: Manifest | undefined = next.parent === null ? undefined : byId.get(next.parent);
      if (next.parent !== null) damage.push(...linkDamage(next, parent));
      next = parent;
    }
    for (const manifest of row.reverse()) ordered.add(manifest);
  }
  return [...ordered];
}

/** A disk of an increment needs the same disk in the parent. */
function linkDamage(child: Manifest, parent: Manifest | undefined): readonly Damage[] {
  const standing = child.disks.filter(({ level }) => level === 'inc' || level === 'diff');
  const lost = standing.filter(({ id }) => !parent?.disks.some((disk) => disk.id === id));
  const detail = parent === undefined ? 'is missing or damaged' : 'does not hold it';
  return lost.map((disk) => ({
    code: 'VB_CHAIN_BROKEN',
    message: `backup ${child.id}, disk ${disk.name}: its parent ${child.parent} ${detail}`,
    file: child.chain,
    disk: disk.name,
    extent: { offset: 0, length: disk.size },
  }));
}
