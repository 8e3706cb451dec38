import { link, readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { VBackupError } from '../../errors/index.js';
import { shapeError } from '../../errors/shape-fault.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { ignoringMissing, makeDirectory, syncDirectory, writeDurably } from '../../storage/durable.js';
import { systemCode, withIo } from '../../storage/io-error.js';
import type { Repository } from '../repository.js';
import { ChainRepository } from './chain-repository.js';
import { parseJson } from './json-text.js';
import { ID_PATTERN, randomId } from './names.js';

/** What makes a folder a repository. */
export const DESCRIPTION_NAME = 'vbackup.json';
const REPOSITORY_VERSION = 1;

const description = v.object({
  format: v.literal('vbackup-repository'),
  version: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  id: v.pipe(v.string(), v.regex(ID_PATTERN)),
});

export interface OpenRepositoryOptions extends WithSignal {
  /** Makes the repository if the folder is missing or empty. */
  readonly create?: boolean | undefined;
}

/**
 * Opens a folder of backups.
 * @throws VBackupError VB_REPOSITORY_NOT_FOUND, VB_REPOSITORY_VERSION (made by a newer vbackup), VB_REPOSITORY_DAMAGED,
 * VB_ACCESS_DENIED
 */
export async function openRepository(location: string, options: OpenRepositoryOptions = {}): Promise<Repository> {
  const root = resolve(location);
  const path = join(root, DESCRIPTION_NAME);
  options.signal?.throwIfAborted();
  let text = await readDescription(path);
  if (text === null && options.create === true) {
    await create(root, path);
    text = await readDescription(path);
  }
  if (text === null) {
    throw new VBackupError('VB_REPOSITORY_NOT_FOUND', `no repository at ${root}`, {
      cure: 'name another folder, or run a backup, which makes the repository in an empty one',
    });
  }
  return new ChainRepository({ id: parse(text, path), location: root });
}

const readDescription = (path: string): Promise<string | null> =>
  withIo(`cannot open the repository ${path}`, () => ignoringMissing(() => readFile(path, 'utf8')));

function parse(text: string, path: string): string {
  const parsed = v.safeParse(description, parseJson(text));
  if (!parsed.success) {
    throw new VBackupError('VB_REPOSITORY_DAMAGED', `${path} does not describe a repository`, {
      cause: shapeError(parsed.issues),
    });
  }
  if (parsed.output.version > REPOSITORY_VERSION) {
    const detail = `version ${parsed.output.version}, newer than ${REPOSITORY_VERSION}`;
    throw new VBackupError('VB_REPOSITORY_VERSION', `repository ${path} has ${detail}`, {
      cure: 'use a newer vbackup',
    });
  }
  return parsed.output.id;
}

/** By link(2), so that of two who make it at once one wins and both open the same. */
async function create(root: string, path: string): Promise<void> {
  await withIo(`cannot make the repository ${root}`, async () => {
    await makeDirectory(root);
    const foreign = (await readdir(root)).filter((name) => name !== 'lost+found' && !name.startsWith(DESCRIPTION_NAME));
    if (foreign.length > 0) {
      throw new VBackupError('VB_REPOSITORY_NOT_FOUND', `${root} is no repository, and not empty: ${foreign[0]}`, {
        cure: 'name an empty or a new folder',
      });
    }
    const id = randomId();
    const candidate = `${path}.${id}`;
    const content = { format: 'vbackup-repository', version: REPOSITORY_VERSION, id };
    await writeDurably(candidate, `${JSON.stringify(content, null, 2)}\n`);
    try {
      await link(candidate, path);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    } finally {
      await rm(candidate, { force: true });
    }
    await syncDirectory(root);
  });
}
