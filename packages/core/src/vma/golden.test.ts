import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ProtocolError } from '../errors/index.js';
import { decodeArchive, sha256 } from '../testing/vma-archive.js';
import { loadVmaFixture, vmaFixtures } from '../testing/vma-fixture.js';
import type { VmaWarningCode } from './archive.js';

/** Archives that are odd and are read all the same; by what the manifest says in brackets, and of the valid ones. */
const WARNINGS: Readonly<Record<string, readonly VmaWarningCode[]>> = {
  '13-shuffled-gaps.vma': ['UNUSED_SLOT'],
  '17-seed-literal.vma': ['HEADER_LENGTH'],
  'corrupt/data-bitflip.vma': [],
  'corrupt/dev-255.vma': ['DEVICE_ID'],
  'corrupt/dev-name-traversal.vma': ['UNSAFE_NAME'],
  'corrupt/dev-size-not-512.vma': ['DEVICE_SIZE'],
  'corrupt/tail-garbage-after-end.vma': ['BEHIND_END'],
};

describe('VMA archives of other writers', () => {
  for (const fixture of vmaFixtures.valid) {
    it(`${fixture.file} gives what its manifest says`, () => {
      const found = decodeArchive(loadVmaFixture(fixture.file));
      assert.deepEqual(
        found.header.configs.map(({ name, content }) => ({ name, size: content.length, sha256: sha256(content) })),
        fixture.configs,
      );
      assert.deepEqual(
        found.header.devices.map((device) => ({ ...device, sha256: sha256(found.image(device.id)) })),
        fixture.devices.map(({ id, name, size, sha256 }) => ({ id, name, size, sha256 })),
      );
      assert.deepEqual(found.warnings, WARNINGS[fixture.file] ?? []);
      const { uuid, ctime, headerLength, extents, clusters } = fixture;
      if (uuid !== undefined) assert.equal(found.header.uuid.toString('hex'), uuid);
      if (ctime !== undefined) assert.equal(found.header.ctime, ctime);
      if (headerLength !== undefined) assert.equal(found.header.length, headerLength);
      if (extents !== undefined) assert.deepEqual(found.extents, extents);
      if (clusters !== undefined) assert.deepEqual(found.clusters, clusters);
    });

    it(`${fixture.file} gives the same in pieces of any length`, () => {
      const bytes = loadVmaFixture(fixture.file);
      const whole = decodeArchive(bytes);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 }), (lengths) => {
          assert.deepEqual(decodeArchive(bytes, { lengths }).digests(), whole.digests());
        }),
        { numRuns: 10 },
      );
    });
  }

  it('a small one gives the same when it is cut at any one place, or arrives byte by byte', () => {
    const bytes = loadVmaFixture('09-names.vma');
    const digests = decodeArchive(bytes).digests();
    for (let at = 1; at < bytes.length; at += 1) {
      assert.deepEqual(decodeArchive(bytes, { lengths: [at, bytes.length] }).digests(), digests, `cut at ${at}`);
    }
    const tails = loadVmaFixture('04-tails.vma');
    assert.deepEqual(decodeArchive(tails, { lengths: [1] }).digests(), decodeArchive(tails).digests());
  });

  for (const { file, expect } of vmaFixtures.corrupt) {
    const odd = WARNINGS[file];
    if (odd === undefined) {
      it(`${file} is refused: ${expect}`, () => {
        const bytes = loadVmaFixture(file);
        for (const options of [{}, { lengths: [997] }, { headersOnly: true }]) {
          assert.throws(
            () => decodeArchive(bytes, options),
            (error) => error instanceof ProtocolError && error.code === `VB_VMA_${expect}`,
          );
        }
      });
    } else {
      it(`${file} is read, with the warnings ${odd.join(', ') || '(none)'}`, () => {
        assert.match(expect, /^\(|^UNSAFE_NAME$/);
        assert.deepEqual(decodeArchive(loadVmaFixture(file)).warnings, odd);
      });
    }
  }
});
