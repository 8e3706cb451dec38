import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import * as v from 'valibot';
import { LZ4_IMPLEMENTATIONS } from '../testing/lz4-implementations.js';
import { adler32 } from './adler32.js';
import { SparseStreamDecoder, type StreamEvent } from './decoder.js';
import { applyFiles, readChain, readSparseStream } from './file.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures/sparse-stream/', import.meta.url));

const manifestSchema = v.object({
  sets: v.record(
    v.string(),
    v.object({
      files: v.array(
        v.object({
          name: v.string(),
          size: v.number(),
          sha256: v.string(),
          adler32: v.number(),
          meta: v.record(v.string(), v.unknown()),
          frames: v.array(
            v.object({
              off: v.number(),
              kind: v.picklist(['meta', 'data', 'zero', 'stop', 'comp']),
              start: v.number(),
              len: v.number(),
              lz4: v.optional(v.array(v.object({ csize: v.number(), usize: v.number() }))),
            }),
          ),
          image_after: v.object({ truth_sha256: v.string() }),
        }),
      ),
    }),
  ),
});

const manifest = v.parse(manifestSchema, JSON.parse(readFileSync(`${FIXTURES}manifest.json`, 'utf8')));
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const bufferTarget = (image: Buffer): Parameters<typeof applyFiles>[1] => ({
  write: async (offset, bytes) => void bytes.copy(image, offset),
  zero: async (offset, length) => void image.fill(0, offset, offset + length),
});

describe('SparseStream files of virtnbdbackup', () => {
  for (const [set, { files }] of Object.entries(manifest.sets)) {
    it(`chain ${set} gives the image of its manifest after each file`, async () => {
      let image: Buffer | undefined;
      for (const file of files) {
        image ??= Buffer.alloc(Number(file.meta['virtualSize']), 0xee);
        await applyFiles([`${FIXTURES}${set}/${file.name}`], bufferTarget(image));
        assert.equal(sha256(image), file.image_after.truth_sha256, file.name);
      }
    });

    it(`chain ${set} is put in order by its metadata`, async () => {
      const paths = files.map(({ name }) => `${FIXTURES}${set}/${name}`);
      const ordered = await readChain(paths.toReversed());
      assert.deepEqual(
        ordered.map(({ link }) => link.path),
        paths,
      );
    });

    for (const file of files) {
      it(`${set}/${file.name} has the frames of its manifest`, async () => {
        const bytes = readFileSync(`${FIXTURES}${set}/${file.name}`);
        assert.equal(sha256(bytes), file.sha256);
        assert.equal(adler32(bytes), file.adler32);
        const found: unknown[] = [];
        for await (const event of readSparseStream(`${FIXTURES}${set}/${file.name}`)) found.push(...frameOf(event));
        const expected = file.frames
          .filter(({ kind }) => kind === 'data' || kind === 'zero' || kind === 'stop')
          .map(({ off, kind, start, len, lz4 }) => ({
            off,
            kind,
            start,
            len,
            stored: lz4?.reduce((sum, { csize }) => sum + csize, 0) ?? (kind === 'data' ? len : 0),
          }));
        assert.deepEqual(found, expected);
      });
    }
  }

  it('a file that cannot be read, and a reader that is stopped, are errors', async () => {
    const path = `${FIXTURES}A/vda.full.data`;
    await assert.rejects(readChain([`${path}.none`]), { code: 'VB_IO' });
    await assert.rejects(readChain([path], { signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  it('the images of the manifest are the ones that were backed up', () => {
    for (const [source, hashes] of [
      ['g1', manifest.sets['A']],
      ['g2', manifest.sets['B']],
    ] as const) {
      const raw = gunzipSync(readFileSync(`${FIXTURES}sources/${source}.raw.gz`));
      assert.ok(
        hashes?.files.some((file) => file.image_after.truth_sha256 === sha256(raw)),
        source,
      );
    }
  });

  for (const [name, implementation] of LZ4_IMPLEMENTATIONS) {
    it(`decode the same when they come in pieces of a prime length, and by ${name}`, function () {
      const blocks = implementation(this);
      for (const [set, { files }] of Object.entries(manifest.sets)) {
        for (const file of files) {
          const bytes = readFileSync(`${FIXTURES}${set}/${file.name}`);
          const decoder = new SparseStreamDecoder({ blocks });
          const image = createHash('sha256');
          const whole = createHash('sha256');
          for (let at = 0; at < bytes.length; at += 9973) {
            for (const event of decoder.push(bytes.subarray(at, at + 9973)))
              if (event.type === 'data') image.update(event.bytes);
          }
          decoder.end();
          for (const event of new SparseStreamDecoder().push(bytes))
            if (event.type === 'data') whole.update(event.bytes);
          assert.equal(image.digest('hex'), whole.digest('hex'));
        }
      }
    });
  }
});

function frameOf(event: StreamEvent): object[] {
  switch (event.type) {
    case 'zero':
      return [{ off: event.fileOffset, kind: 'zero', start: event.offset, len: event.length, stored: 0 }];
    case 'frame':
      return [
        { off: event.fileOffset, kind: 'data', start: event.offset, len: event.length, stored: event.storedLength },
      ];
    case 'stop':
      return [{ off: event.fileOffset, kind: 'stop', start: 0, len: 0, stored: 0 }];
    case 'meta':
    case 'data':
    case 'trailer':
      return [];
  }
}
