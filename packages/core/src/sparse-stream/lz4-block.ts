/** How far back a linked block may refer (`lz4_Block_format.md`, "offset"). */
export const LZ4_HISTORY_LENGTH = 65536;
/** No byte of a block stands for more than this many (a length goes on with bytes of up to 255). */
export const LZ4_MAX_EXPANSION = 255;

/**
 * LZ4 blocks, from memory to memory (`lz4_Block_format.md`). All calls are synchronous and belong in a worker; none keeps what it
 * was given. Memory may be shared, if nobody writes to it meanwhile.
 */
export interface Lz4Blocks {
  /** Who does it, with a version where it is known. */
  readonly name: string;
  /**
   * Compresses to the beginning of `target`; what lies behind the block there is undefined.
   * @returns the block's length; 0 where it would be longer than `target`
   */
  compress(of: { readonly bytes: Buffer; readonly target: Buffer }): number;
  /**
   * Decodes to the beginning of `target` and never beyond it, whatever the block says. Behind the decoded bytes, and
   * where null is returned, the target's content is undefined.
   * @param of - `history`: what a linked block may refer to, up to {@link LZ4_HISTORY_LENGTH} bytes, empty for independent
   * blocks; best right before `target` in memory
   * @returns the decoded length; null for a block that cannot be decoded to so many bytes or fewer
   */
  decompress(of: { readonly block: Buffer; readonly target: Buffer; readonly history: Buffer }): number | null;
}

/** Every length of the format that does not fit its nibble goes on with bytes, the last of which is less than 255. */
const NIBBLE_END = 15;
const OFFSET_LENGTH = 2;
const MIN_MATCH_LENGTH = 4;

/**
 * How many bytes a block decodes to, found without decoding it; null for one whose lengths do not fit together. What its matches
 * refer to is not looked at.
 */
export function decodedBlockLength(block: Buffer): number | null {
  let at = 0;
  let decoded = 0;
  const lengthFrom = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === NIBBLE_END; more; at += 1) {
      length += block[at] ?? 0;
      more = block[at] === 255;
    }
    return length;
  };
  while (at < block.length) {
    const token = block[at] ?? 0;
    at += 1;
    const literals = lengthFrom(Math.floor(token / 16));
    at += literals;
    decoded += literals;
    // The last sequence has no match.
    if (at === block.length) return decoded;
    at += OFFSET_LENGTH;
    decoded += lengthFrom(token % 16) + MIN_MATCH_LENGTH;
  }
  return null;
}
