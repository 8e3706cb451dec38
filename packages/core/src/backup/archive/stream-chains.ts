import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { ancestry, type ChainFile, parsePeerDataName, readChain, readStreamMeta } from '../../sparse-stream/index.js';
import { withIo } from '../../storage/io-error.js';

/**
 * Of each disk in a folder of virtnbdbackup the files that its newest point needs, from the full on.
 * @throws VBackupError VB_CHAIN_…, VB_FILE_NOT_FOUND, VB_IO; ProtocolError VB_SPARSE_…
 */
export async function chainsOfFolder(
  folder: string,
  options: WithSignal = {},
): Promise<readonly (readonly ChainFile[])[]> {
  const byTarget = await dataFiles(folder);
  if (byTarget.size === 0) {
    throw new VBackupError('VB_FILE_NOT_FOUND', `${folder} has no backup of virtnbdbackup`, {
      cure: 'name the folder with the files <disk>.full.data',
    });
  }
  const chains: (readonly ChainFile[])[] = [];
  for (const paths of byTarget.values()) {
    const ordered = await readChain(paths, options);
    const tip = ordered.at(-1)?.link;
    if (tip !== undefined) chains.push(ancestry(ordered, tip));
  }
  return chains;
}

/**
 * The files that one file of a chain needs, from the full on to itself: what an increment stands on is looked for beside it.
 * @throws VBackupError VB_CHAIN_…, VB_IO; ProtocolError VB_SPARSE_…
 */
export async function chainOfFile(path: string, options: WithSignal = {}): Promise<readonly ChainFile[]> {
  const meta = await readStreamMeta(path, options);
  const name = basename(path);
  const peer = parsePeerDataName(name);
  const folder = dirname(path);
  const beside = meta.incremental && peer !== undefined ? (await dataFiles(folder)).get(peer.target) : undefined;
  if (beside === undefined) {
    if (!meta.incremental) return [{ path, name, level: peer?.level, meta }];
    throw new VBackupError('VB_CHAIN_MISSING', `${path} is an increment, and nothing beside it is what it stands on`, {
      cure: 'put it beside the full it stands on, under the name that it had: <disk>.inc.<checkpoint>.data',
    });
  }
  const ordered = await readChain(beside, options);
  const own = ordered.find(({ link }) => link.name === name);
  if (own === undefined) throw new VBackupError('VB_CHAIN_MISSING', `${path} is not part of the chain beside it`);
  return ancestry(ordered, own.link);
}

/** The data files of a folder by the disk that their names begin with. */
async function dataFiles(folder: string): Promise<Map<string, string[]>> {
  const byTarget = new Map<string, string[]>();
  const names = await withIo(`cannot read the folder ${folder}`, () => readdir(folder));
  for (const name of names.toSorted()) {
    const target = parsePeerDataName(name)?.target;
    if (target !== undefined) byTarget.set(target, [...(byTarget.get(target) ?? []), join(folder, name)]);
  }
  return byTarget;
}
