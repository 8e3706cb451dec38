import assert from 'node:assert/strict';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { VBackupError } from '../errors/index.js';
import { requireTools } from '../testing/tools.js';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '../testing/vma-fixture.js';
import { fileChunks, readArchive } from './archive-file.js';
import { openCompressed } from './decompress.js';

async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) {
    await setImmediate();
    yield bytes.subarray(at, at + length);
  }
}

async function decompressed(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of (await openCompressed(source)).bytes) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** Gives what it has and then nothing, without an end. Leaving it is no use: who waits for it waits for ever. */
async function* stalling(bytes: Buffer): AsyncGenerator<Buffer> {
  yield* pieces(bytes, 8192);
  await new Promise<never>(() => undefined);
}

async function drain(bytes: AsyncIterable<Buffer>): Promise<void> {
  for await (const part of bytes) assert.ok(part.length > 0);
}

const PLAIN = loadVmaFixture('01-basic.vma');
const KINDS = [
  ['zst', 'zstd'],
  ['gz', 'gzip'],
  ['lzo', 'lzo'],
  ['bz2', 'bzip2'],
] as const;

describe('a compressed VMA archive', () => {
  before(function () {
    requireTools(this, ['lzop', 'bzip2']);
  });

  for (const { file, of } of vmaFixtures.compressed) {
    it(`${file} is read as what it was`, async () => {
      assert.ok((await decompressed(fileChunks(`${VMA_FIXTURES}${file}`))).equals(loadVmaFixture(of)));
      let clusters = 0;
      for await (const event of readArchive(pieces(loadVmaFixture(file), 1000))) {
        if (event.type === 'cluster') clusters += 1;
      }
      assert.equal(clusters, 16);
    });
  }

  for (const [ending, compression] of KINDS) {
    const bytes = loadVmaFixture(`01-basic.vma.${ending}`);

    it(`${compression} is told by its first bytes, one at a time`, async () => {
      const opened = await openCompressed(pieces(bytes, 1));
      assert.equal(opened.compression, compression);
      await opened.bytes.return();
    });

    it(`${compression} that ends early, or is damaged, is an error`, async () => {
      await assert.rejects(decompressed(pieces(bytes.subarray(0, -7), 5000)), { code: 'VB_VMA_COMPRESSION' });
      const damaged = Buffer.from(bytes).fill(0xa5, 500, 600);
      await assert.rejects(decompressed(pieces(damaged, 5000)), { code: 'VB_VMA_COMPRESSION' });
    });

    it(`${compression} may be left early, and its source is ended`, async () => {
      let ended = false;
      async function* endless(): AsyncGenerator<Buffer> {
        try {
          // Compressed files one after the other are one: bzip2 says nothing before it has read ahead.
          while (true) yield* pieces(bytes, 8192);
        } finally {
          ended = true;
        }
      }
      const opened = await openCompressed(endless());
      const first = await opened.bytes.next();
      assert.ok(first.done === false && first.value.subarray(0, 4).equals(Buffer.from('VMA\0')));
      await opened.bytes.return();
      assert.equal(ended, true);
    });

    it(`${compression} from a pipe that says no more may be left, or aborted`, async () => {
      for (const action of ['leave', 'abort'] as const) {
        const stop = new AbortController();
        const opened = await openCompressed(stalling(bytes), { signal: stop.signal });
        const first = opened.bytes.next();
        // All that decompresses at once has come when the source says no more; bzip2 keeps it until the end.
        const begun = await Promise.race([
          first,
          setTimeout(compression === 'bzip2' ? 200 : 20_000, undefined, { ref: false }),
        ]);
        if (action === 'abort' || begun === undefined) {
          stop.abort();
          await assert.rejects(Promise.all([first, drain(opened.bytes)]), { name: 'AbortError' });
        } else await opened.bytes.return();
      }
    });

    it(`${compression} of a source that breaks gives the error of the source`, async () => {
      async function* broken(): AsyncGenerator<Buffer> {
        yield* pieces(bytes.subarray(0, 3000), 1000);
        throw new VBackupError('VB_IO', 'the source is gone');
      }
      await assert.rejects(decompressed(broken()), { code: 'VB_IO' });
    });
  }

  it('says which program is missing', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      await assert.rejects(decompressed(pieces(loadVmaFixture('01-basic.vma.lzo'), 100_000)), {
        code: 'VB_UNSUPPORTED',
        cure: 'install it; on Debian: apt install lzop',
      });
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('or what is none may be aborted while its source says nothing, or no more', async () => {
    for (const bytes of [Buffer.alloc(0), PLAIN.subarray(0, 20_000)]) {
      const stop = new AbortController();
      const read = async (): Promise<void> => {
        for await (const event of readArchive(stalling(bytes), { signal: stop.signal })) assert.ok(event.type);
      };
      const reading = read();
      await setTimeout(20);
      stop.abort();
      await assert.rejects(reading, { name: 'AbortError' });
    }
  });

  it('of no bytes, or fewer than a magic, is handed on as it is', async () => {
    assert.equal((await decompressed(pieces(Buffer.alloc(0), 1))).length, 0);
    assert.equal((await decompressed(pieces(Buffer.from('VM'), 1))).toString(), 'VM');
  });
});

describe('zstd and gzip streams of many frames', () => {
  const skippable = Buffer.from('542a4d1803000000616263', 'hex');
  const frames = fc.array(
    fc.oneof(
      fc.nat(200_000).map((length) => {
        const content = Buffer.alloc(length, 'vma and more of it ').fill(length % 251, 0, Math.floor(length / 3));
        return { content, stored: zstdCompressSync(content) };
      }),
      fc.constant({ content: Buffer.alloc(0), stored: skippable }),
      fc.constant({ content: Buffer.alloc(0), stored: zstdCompressSync(Buffer.alloc(0)) }),
    ),
    { minLength: 1, maxLength: 6 },
  );

  it('are read to their end, wherever they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(frames, fc.integer({ min: 1, max: 5000 }), async (parts, length) => {
        const first = { content: Buffer.from('x'), stored: zstdCompressSync(Buffer.from('x')) };
        const all = [first, ...parts];
        const found = await decompressed(pieces(Buffer.concat(all.map(({ stored }) => stored)), length));
        assert.ok(found.equals(Buffer.concat(all.map(({ content }) => content))));
      }),
      { numRuns: 40 },
    );
  });

  it('with a checksum, and of one byte at a time', async () => {
    const stored = zstdCompressSync(PLAIN, { params: { 201: 1 } });
    assert.ok((await decompressed(pieces(Buffer.concat([stored, stored]), 7))).equals(Buffer.concat([PLAIN, PLAIN])));
  });

  it('of gzip are read as one', async () => {
    const both = Buffer.concat([gzipSync(PLAIN.subarray(0, 50_000)), gzipSync(PLAIN.subarray(50_000))]);
    assert.ok((await decompressed(pieces(both, 999))).equals(PLAIN));
  });

  it('of gzip with something else behind them are an error, zeros excepted', async () => {
    for (const garbage of ['garbage', '\0garbage', '\x1f', 'x'.repeat(100_000)]) {
      const bytes = Buffer.concat([gzipSync(PLAIN), Buffer.from(garbage)]);
      for (const length of [1000, bytes.length]) {
        await assert.rejects(decompressed(pieces(bytes, length)), { code: 'VB_VMA_COMPRESSION' }, garbage.slice(0, 9));
      }
    }
    const padded = Buffer.concat([gzipSync(PLAIN), Buffer.alloc(5000)]);
    assert.ok((await decompressed(pieces(padded, 4096))).equals(PLAIN));
  });

  it('of zstd with something else behind them are an error', async () => {
    const garbage = Buffer.concat([zstdCompressSync(PLAIN), Buffer.from('garbage')]);
    await assert.rejects(decompressed(pieces(garbage, 4096)), { code: 'VB_VMA_COMPRESSION' });
  });
});
