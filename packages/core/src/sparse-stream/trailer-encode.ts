import { encodeFrameHeader, TERMINATOR } from './frame-header.js';
import type { NumberList } from './number-list.js';

/** More LZ4 frames than this in one stream are refused, written or read: 128 MiB of sizes. */
export const MAX_TRAILER_ENTRIES = 2 ** 24;

const ENTRIES_PER_PIECE = 8192;

/** The trailer: `[size, size, …]` with the stored size of every DATA frame, CR LF, and the COMP header. */
export function encodeTrailer(sizes: NumberList): Buffer[] {
  const pieces: Buffer[] = [Buffer.from('[')];
  for (let from = 0; from < sizes.length; from += ENTRIES_PER_PIECE) {
    const list = sizes.slice(from, from + ENTRIES_PER_PIECE).join(', ');
    pieces.push(Buffer.from(from === 0 ? list : `, ${list}`, 'latin1'));
  }
  pieces.push(Buffer.from(']'));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [...pieces, TERMINATOR, encodeFrameHeader({ kind: 'comp', start: 0, length })];
}
