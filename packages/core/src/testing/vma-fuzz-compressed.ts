import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import { readArchive } from '../vma/archive-file.js';
import { mutateBytes } from './bytes-mutation.js';
import { type FuzzOptions, type FuzzReport, runFuzz } from './fuzz-run.js';
import { loadVmaFixture } from './vma-fixture.js';
import { randomBelow } from './vma-mutation.js';

/** Node decompresses these itself. */
const BUILT_IN = ['01-basic.vma.zst', '01-basic.vma.gz'] as const;
/** For these a program is started, which takes longer than all else: one case in so many. */
const PROGRAMS = ['01-basic.vma.lzo', '01-basic.vma.bz2'] as const;
const PROGRAM_EVERY = 50;
/** Shorter ones would test streams of Node, at a second for a case. */
const SHORTEST_PIECE = 100;

/**
 * Reads mutated compressed archives. Each must give what the archive holds, or an error with a code of VMA: what a compression
 * lets through, its checksums or ours find.
 * @throws Error with the seed of the case that did not
 */
export async function fuzzCompressed(options: FuzzOptions): Promise<FuzzReport> {
  const right = await contentOf(loadVmaFixture('01-basic.vma'), 1_000_000);
  return runFuzz(options, (seed) => fuzzOne(seed, right));
}

async function fuzzOne(seed: number, right: string): Promise<string> {
  const random = randomBelow(seed);
  const files = random(PROGRAM_EVERY) === 0 ? PROGRAMS : BUILT_IN;
  const bytes = mutateBytes(loadVmaFixture(files[random(files.length)] ?? BUILT_IN[0]), random);
  try {
    assert.equal(await contentOf(bytes, SHORTEST_PIECE + random(20_000)), right, 'damage passed for content');
    return 'none';
  } catch (error) {
    if (error instanceof VBackupError && error.code.startsWith('VB_VMA_')) return error.code;
    throw error;
  }
}

/** Over all that an archive says, in its order. */
async function contentOf(bytes: Buffer, piece: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const event of readArchive(pieces(bytes, piece))) {
    if (event.type === 'header') hash.update(JSON.stringify(event.header));
    if (event.type === 'cluster')
      hash.update(`${event.device.id} ${event.clusterIndex} ${event.mask} `).update(event.data);
  }
  return hash.digest('hex');
}

async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
