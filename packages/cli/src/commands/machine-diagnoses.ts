import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Diagnosis } from '@vbackup/core';
import { failureOf } from '../failure.js';
import type { CommandContext } from './command.js';

/** A program of others that reads the same files; vbackup needs none. */
const OTHER_READER = 'virtnbdrestore';
const SAMPLE_LENGTH = 4096;

/** Whether this machine can run vbackup: Node.js, the compressor's native part, other readers. */
export async function* machineDiagnoses({ world, version }: CommandContext): AsyncGenerator<Diagnosis> {
  const detail = `${process.version} on ${process.platform} ${process.arch}, vbackup ${version}`;
  yield { name: 'node', state: 'good', detail };
  yield await compressor();
  const reader = await inPath(OTHER_READER, world.env['PATH'] ?? '');
  const found = reader ?? 'not installed, and not needed: it reads the same backups';
  yield { name: OTHER_READER, state: 'good', detail: found };
}

async function compressor(): Promise<Diagnosis> {
  try {
    const { lz4Compressor } = await import('@vbackup/core/sparse-stream');
    const sample = Buffer.alloc(SAMPLE_LENGTH, 'vbackup');
    const back = lz4Compressor.decompressFrames(lz4Compressor.compressFrame(sample), sample.length);
    if (back.equals(sample))
      return { name: 'lz4', state: 'good', detail: `compresses and decompresses, by ${lz4Compressor.name}` };
    return { name: 'lz4', state: 'bad', detail: 'gives back other bytes than it got', cure: 'install vbackup anew' };
  } catch (error) {
    const { message } = failureOf(error);
    return { name: 'lz4', state: 'bad', detail: message, cure: 'install vbackup anew on this machine' };
  }
}

async function inPath(program: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter((each) => each !== '')) {
    try {
      await access(join(folder, program), constants.X_OK);
      return join(folder, program);
    } catch {
      // Not in this folder, or not to be run from it: the next one may have it.
    }
  }
  return undefined;
}
