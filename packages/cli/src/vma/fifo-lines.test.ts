import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { readFifoLines } from './fifo-lines.js';

describe('readFifoLines', () => {
  let folder: string;
  let fifo: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-fifo-'));
    fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Opens when the reader is there, writes piece by piece and closes. */
  const write = async (...pieces: readonly string[]): Promise<void> => {
    await using file = await open(fifo, 'w');
    for (const piece of pieces) await file.write(piece);
  };
  const after = async (...pieces: readonly string[]): Promise<string[]> => {
    const reading = readFifoLines(fifo, {});
    await write(...pieces);
    return await reading;
  };

  for (const [what, pieces, lines] of [
    ['up to done', ['a\nb\ndone\nc\n'], ['a', 'b']],
    ['up to an empty line', ['a\n\nb\n'], ['a']],
    ['in pieces', ['a', 'b\nc\ndo', 'ne\n'], ['ab', 'c']],
    ['up to the end, without a line break', ['a\nb'], ['a', 'b']],
    ['no lines', ['done\n'], []],
  ] as const) {
    it(`reads lines ${what}`, async () => {
      assert.deepEqual(await after(...pieces), lines);
    });
  }

  it('reads a plain file too, an empty one as well', async () => {
    const path = join(folder, 'file');
    await writeFile(path, 'a\n');
    assert.deepEqual(await readFifoLines(path, {}), ['a']);
    await writeFile(path, '');
    assert.deepEqual(await readFifoLines(path, {}), []);
  });

  it('stops waiting for who never writes', async () => {
    const stop = new AbortController();
    const reading = readFifoLines(fifo, { signal: stop.signal });
    setTimeout(() => stop.abort(new VBackupError('VB_ABORTED', 'enough')), 50);
    await assert.rejects(reading, { code: 'VB_ABORTED' });
  });

  it('says that there is nothing', async () => {
    await assert.rejects(readFifoLines(join(folder, 'no'), {}), { code: 'VB_IO' });
  });
});
