import type { ImagePiece, ImageWriter } from './image.js';

/** Hands pieces to a writer, in one call if it can take them so. They belong to it until this settles. */
export async function writePieces(writer: ImageWriter, pieces: readonly ImagePiece[]): Promise<void> {
  if (writer.writeAll !== undefined) return writer.writeAll(pieces);
  await Promise.all(
    pieces.map(({ offset, length, bytes }) =>
      bytes === null ? writer.zero(offset, length) : writer.data(offset, bytes),
    ),
  );
}
