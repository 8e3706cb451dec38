import type { TextStream } from '../world.js';

/** So much text is collected before it is written. */
const CHUNK_LENGTH = 64 * 1024;

/** Writes text of any length as it comes: waits for the reader, and ends early where nobody reads any more. */
export async function writeAll(stream: TextStream, pieces: AsyncIterable<string>): Promise<void> {
  let held: string[] = [];
  let length = 0;
  try {
    for await (const piece of pieces) {
      held.push(piece);
      length += piece.length;
      if (length < CHUNK_LENGTH) continue;
      stream.write(held.join(''));
      held = [];
      length = 0;
      await stream.drain();
      if (stream.closed) return;
    }
  } finally {
    // What was found before an error is shown as well.
    if (held.length > 0) stream.write(held.join(''));
  }
}
