import assert from 'node:assert/strict';
import type { Extent } from '@vbackup/core';
import fc from 'fast-check';
import { planUpload, UPLOAD_CHUNK_LENGTH, UPLOAD_END, UploadCursor } from './upload-plan.js';

/** Reads a chunked body back as a host does. */
function receive(body: Buffer): readonly { readonly offset: number; readonly data: Buffer }[] {
  const chunks: { offset: number; data: Buffer }[] = [];
  for (let position = 0; ; ) {
    const offset = Number(body.readBigUInt64LE(position));
    const length = body.readUInt32LE(position + 8);
    position += 12;
    if (offset === 0 && length === 0) {
      assert.equal(position, body.length, 'bytes after the end');
      return chunks;
    }
    assert.ok(length > 0, 'an empty chunk');
    chunks.push({ offset, data: body.subarray(position, position + length) });
    position += length;
  }
}

describe('planUpload', () => {
  it('announces exactly the bytes that it then sends, however the writes are cut', () => {
    const size = 4096;
    const layout = fc
      .array(fc.boolean(), { minLength: 8, maxLength: 8 })
      .map((sectors) => sectors.flatMap((set, index): Extent[] => (set ? [{ offset: index * 512, length: 512 }] : [])));
    fc.assert(
      fc.property(layout, fc.integer({ min: 1, max: 700 }), (data, step) => {
        const plan = planUpload(data, size);
        const disk = Buffer.from(Array.from({ length: size }, (_, index) => index % 251));
        const cursor = new UploadCursor(plan);
        const body: Buffer[] = [];
        for (let end = step; end - step < size; end += step) {
          for (const piece of cursor.advance(Math.min(end, size))) {
            const { kind } = piece;
            const at = kind === 'header' ? undefined : piece.extent;
            body.push(
              at === undefined
                ? Buffer.from(kind === 'header' ? piece.bytes : [])
                : disk.subarray(at.offset, at.offset + at.length),
            );
          }
        }
        body.push(UPLOAD_END);
        assert.equal(cursor.position, null);
        const sent = Buffer.concat(body);
        assert.equal(sent.length, plan.contentLength);
        const restored = Buffer.alloc(size);
        for (const { offset, data: bytes } of receive(sent)) bytes.copy(restored, offset);
        const expected = Buffer.alloc(size);
        for (const { offset, length } of data) disk.copy(expected, offset, offset, offset + length);
        assert.ok(restored.equals(expected));
      }),
    );
  });

  it('is the end alone for a disk without data', () => {
    assert.deepEqual(planUpload([], 1024), { chunks: [], contentLength: 12 });
  });

  it('cuts long extents, and is exact far beyond 32 bits', () => {
    const offset = 2 ** 43;
    const plan = planUpload([{ offset, length: UPLOAD_CHUNK_LENGTH + 512 }], 2 ** 44);
    assert.deepEqual(plan.chunks, [
      { offset, length: UPLOAD_CHUNK_LENGTH },
      { offset: offset + UPLOAD_CHUNK_LENGTH, length: 512 },
    ]);
    const [header] = [...new UploadCursor(plan).advance(offset + 1)];
    assert.ok(header?.kind === 'header');
    assert.equal(header.bytes.readBigUInt64LE(0), 2n ** 43n);
  });
});
