/** What the digests of frames are made with. Every index names its own; all of them make {@link DIGEST_LENGTH} bytes. */
export type DigestAlgorithm = 'sha256' | 'blake3';

export const DIGEST_LENGTH = 32;

/** A digest and what made it: bytes that are compared with it are hashed in the same way. */
export interface FrameDigest {
  readonly algorithm: DigestAlgorithm;
  readonly bytes: Buffer;
}

/** Whether two digests tell that they are of the same bytes. Of two algorithms, they tell nothing. */
export const sameDigest = (left: FrameDigest, right: FrameDigest): boolean =>
  left.algorithm === right.algorithm && left.bytes.equals(right.bytes);

/** Whether a name that an index gives is one that we know. */
export const isDigestAlgorithm = (name: string): name is DigestAlgorithm => name === 'sha256' || name === 'blake3';
