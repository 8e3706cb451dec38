import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest } from '../manifest.js';
import type { Catalogue, DamagedManifest } from '../repository.js';
import { readManifest } from './manifest-file.js';
import { CHAIN_PATTERN, ID_PATTERN, manifestPath, SIDE_FOLDER } from './names.js';

/** Every backup of the repository, oldest first. */
export async function scanRepository(root: string, options: WithSignal = {}): Promise<Catalogue> {
  const found: Catalogue[] = [];
  for (const hypervisor of await foldersIn(root)) {
    for (const guest of await foldersIn(join(root, hypervisor))) {
      found.push(await scanPlace(root, join(hypervisor, guest), options));
    }
  }
  return joined(found);
}

/** Every backup of one guest, oldest first. @param place - relative to the repository */
export async function scanPlace(root: string, place: string, options: WithSignal = {}): Promise<Catalogue> {
  const found: Catalogue[] = [];
  for (const chain of await foldersIn(join(root, place))) {
    options.signal?.throwIfAborted();
    if (CHAIN_PATTERN.test(chain)) found.push(await scanChain(root, join(place, chain)));
  }
  return joined(found);
}

async function scanChain(root: string, chain: string): Promise<Catalogue> {
  const backups: Manifest[] = [];
  const damaged: DamagedManifest[] = [];
  for (const name of await namesIn(join(root, chain, SIDE_FOLDER))) {
    const id = name.endsWith('.json') ? name.slice(0, -'.json'.length) : '';
    if (!ID_PATTERN.test(id)) continue;
    const path = join(root, chain, manifestPath(id));
    try {
      backups.push(placed(await readManifest(path), { path, id, chain }));
    } catch (error) {
      damaged.push({ path, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  return { backups, damaged };
}

/** A manifest that was copied elsewhere would name files that are not its own. */
function placed(manifest: Manifest, place: { path: string; id: string; chain: string }): Manifest {
  if (manifest.id === place.id && manifest.chain === place.chain) return manifest;
  const belongs = join(manifest.chain, manifestPath(manifest.id));
  throw new VBackupError('VB_MANIFEST_DAMAGED', `manifest ${place.path} belongs at ${belongs}`);
}

function joined(parts: readonly Catalogue[]): Catalogue {
  return {
    backups: oldestFirst(parts.flatMap((part) => part.backups)),
    damaged: parts.flatMap((part) => part.damaged),
  };
}

/** By time; but clocks stand still and go back, so what a backup names as its parent or as older comes before it. */
function oldestFirst(backups: readonly Manifest[]): readonly Manifest[] {
  const byId = new Map(backups.map((manifest) => [manifest.id, manifest]));
  const seen = new Set<Manifest>();
  const placed: Manifest[] = [];
  for (const manifest of backups.toSorted(
    (left, right) => compare(left.time, right.time) || compare(left.id, right.id),
  )) {
    const row = seen.has(manifest) ? [] : [manifest];
    seen.add(manifest);
    for (let top = row.at(-1); top !== undefined; top = row.at(-1)) {
      const older = [top.parent, top.after]
        .map((id) => byId.get(id ?? ''))
        .find((other) => other !== undefined && !seen.has(other));
      if (older === undefined) {
        placed.push(top);
        row.pop();
      } else {
        seen.add(older);
        row.push(older);
      }
    }
  }
  return placed;
}

const compare = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);

async function foldersIn(path: string): Promise<readonly string[]> {
  const entries = await withIo(`cannot read the folder ${path}`, () =>
    ignoringMissing(() => readdir(path, { withFileTypes: true })),
  );
  const folders = (entries ?? []).filter((entry) => entry.isDirectory() && entry.name !== 'lost+found');
  return folders.map((entry) => entry.name).toSorted();
}

async function namesIn(path: string): Promise<readonly string[]> {
  const names = await withIo(`cannot read the folder ${path}`, () => ignoringMissing(() => readdir(path)));
  return (names ?? []).toSorted();
}
