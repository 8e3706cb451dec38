import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { cleanUp, removeDraft } from './clean-up.js';

const ID = '0123456789abcdef';
const CHAIN = join('fake', 'guest', 'chain');
const MANIFEST = join(CHAIN, '.vbackup', `${ID}.json`);
const STREAM = join(CHAIN, 'xvda.full.data');
const RECORD = { backupId: ID, chain: CHAIN, files: [STREAM, MANIFEST], entries: [{ step: 'snapshot' }] };

describe('what a run left', () => {
  let root: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'vbackup-clean-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  const make = async (...paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), 'x');
    }
  };
  const left = async (): Promise<readonly string[]> => (await readdir(root, { recursive: true })).toSorted();
  const place = join('fake', 'guest');

  it('stands if its manifest has its name; only partial files go', async () => {
    await make(STREAM, `${STREAM}.partial`, MANIFEST);
    const leftover = await cleanUp(root, place, RECORD);
    assert.deepEqual(leftover, { backupId: ID, entries: RECORD.entries, committed: true });
    assert.deepEqual(
      (await left()).filter((path) => path.includes('.data') || path.endsWith('.json')),
      [MANIFEST, STREAM].toSorted(),
    );
  });

  it('goes without a manifest, the chain that it made as well, and however often it is tried', async () => {
    await make(STREAM, `${MANIFEST}.partial`);
    for (let round = 0; round < 2; round += 1) {
      assert.equal((await cleanUp(root, place, RECORD)).committed, false);
      assert.deepEqual(await left(), ['fake', place]);
    }
  });

  it('goes though its manifest has its name, if the run itself says that it failed', async () => {
    await make(STREAM, MANIFEST);
    await removeDraft(root, place, RECORD);
    assert.deepEqual(await left(), ['fake', place]);
  });

  it('stays if it is another’s file in a chain that the run made, and nothing outside the place is touched', async () => {
    const other = join(CHAIN, 'other');
    await make(STREAM, other);
    await cleanUp(root, place, RECORD);
    assert.ok((await left()).includes(other));
    const outside = { ...RECORD, files: [join('fake', 'guest', '..', 'elsewhere')] };
    await assert.rejects(cleanUp(root, place, outside), { code: 'VB_REPOSITORY_DAMAGED' });
  });
});
