import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { promisify } from 'node:util';
import { nativeBlake3, portableBlake3 } from './blake3.js';
import { sameDigest } from './digest-algorithm.js';
import { digestOf, newDigestAlgorithm, startDigest } from './frame-digest.js';

/** The input of BLAKE3's own test vectors (test_vectors.json): 0, 1, … 250, 0, 1, … */
const vector = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => at % 251));

/** The first 32 bytes of `hash` in test_vectors.json, by the input's length. */
const BLAKE3_VECTORS: Readonly<Record<number, string>> = {
  0: 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
  1: '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
  1024: '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7',
  1025: 'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444',
  102400: 'bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085',
};

describe('the digest of a frame', () => {
  for (const [length, expected] of Object.entries(BLAKE3_VECTORS)) {
    it(`is what BLAKE3's authors say of ${length} bytes`, () => {
      const bytes = vector(Number(length));
      assert.equal(digestOf('blake3', bytes).toString('hex'), expected);
      assert.equal(portableBlake3().hash(bytes).toString('hex'), expected);
    });
  }

  for (const algorithm of ['sha256', 'blake3'] as const) {
    it(`by ${algorithm} is the same in pieces, and can be had on the way`, () => {
      const bytes = randomFillSync(Buffer.alloc(200_000));
      const running = startDigest(algorithm);
      for (let at = 0; at < bytes.length; at += 33_333) {
        running.add(bytes.subarray(at, at + 33_333));
        const known = bytes.subarray(0, Math.min(at + 33_333, bytes.length));
        assert.ok(running.digest().equals(digestOf(algorithm, known)));
      }
    });
  }

  it('is the same whichever of the two computes it, also in shared memory', () => {
    const bytes = randomFillSync(Buffer.from(new SharedArrayBuffer(70_000)));
    const running = portableBlake3().start();
    running.update(bytes.subarray(0, 65_000));
    running.digest();
    running.update(bytes.subarray(65_000));
    assert.ok(running.digest().equals(digestOf('blake3', bytes)));
    assert.ok(nativeBlake3()?.hash(bytes).equals(portableBlake3().hash(bytes)) ?? true);
  });

  it('is compared with one of the same algorithm only', () => {
    const bytes = Buffer.alloc(32, 7);
    assert.ok(sameDigest({ algorithm: 'sha256', bytes }, { algorithm: 'sha256', bytes: Buffer.from(bytes) }));
    assert.ok(!sameDigest({ algorithm: 'sha256', bytes }, { algorithm: 'blake3', bytes }));
    assert.ok(!sameDigest({ algorithm: 'sha256', bytes }, { algorithm: 'sha256', bytes: Buffer.alloc(32) }));
  });

  it('is SHA-256 in what is new where BLAKE3 has no binary, and BLAKE3 is read all the same', async () => {
    const module = new URL('./frame-digest.js', import.meta.url).href;
    const script = `const { digestOf, newDigestAlgorithm } = await import(${JSON.stringify(module)});
      console.log(newDigestAlgorithm(), digestOf('blake3', Buffer.alloc(0)).toString('hex'));`;
    // The loader of the native module takes this path and no other.
    const env = { ...process.env, NAPI_RS_NATIVE_LIBRARY_PATH: '/nowhere/blake.node' };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
    assert.equal(stdout, `sha256 ${BLAKE3_VECTORS[0]}\n`);
  });

  it('is BLAKE3 in what is new where there is a binary for it', () => {
    assert.equal(newDigestAlgorithm(), nativeBlake3() === null ? 'sha256' : 'blake3');
  });
});
