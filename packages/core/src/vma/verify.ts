import { UnsupportedError } from '../errors/index.js';
import { decodeHeaders, decodeStream, fileChunks } from './archive-file.js';
import { COMPRESSION_MAGIC_LENGTH, compressionOf } from './compression.js';
import { VmaDecoder } from './decoder.js';
import { openCompressed } from './decompress.js';
import { PositionFile } from './position-file.js';
import { Verification, type VerifyArchiveOptions, type VmaReport } from './verification.js';

/** A file, or what comes from a pipe. */
export type VerifySource = { readonly path: string } | { readonly stream: AsyncIterable<Buffer> };

/**
 * Checks an archive and goes on where it can: damages are collected and not thrown, but for those of the header, behind which
 * nothing is known. Clusters that are missing are damages. What no reader can tell without a sidecar is a changed bit in
 * the stored blocks: the format has no checksum of them.
 *
 * From a file, content is looked at by random access, in the order of the device; from a pipe, or of a compressed file, only
 * of devices whose clusters come in order.
 *
 * @throws ProtocolError VB_VMA_… for a header; VBackupError VB_VMA_COMPRESSION, VB_UNSUPPORTED, VB_IO, VB_ABORTED
 */
export async function verifyArchive(source: VerifySource, options: VerifyArchiveOptions): Promise<VmaReport> {
  if ('stream' in source) return verifyStream(source.stream, options);
  const file = await openPlain(source.path);
  if (file === undefined) return verifyStream(fileChunks(source.path, options.signal), options);
  await using plain = file;
  return await verifyFile(plain, options);
}

/** The file, if it can be read at any place: it is a regular one, and not compressed. */
export async function openPlain(path: string): Promise<PositionFile | undefined> {
  let file: PositionFile;
  try {
    file = await PositionFile.open(path);
  } catch (error) {
    // A pipe with a name: it is read as what it is.
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
  try {
    if (compressionOf(await file.readSome(0, COMPRESSION_MAGIC_LENGTH)) === 'none') return file;
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
  await file[Symbol.asyncDispose]();
  return undefined;
}

async function verifyStream(source: AsyncIterable<Buffer>, options: VerifyArchiveOptions): Promise<VmaReport> {
  const { compression, bytes } = await openCompressed(source, options);
  const state = new Verification(options);
  const decoder = new VmaDecoder({ salvage: true, headersOnly: options.mode === 'headers' && !wantsContent(options) });
  for await (const event of decodeStream(bytes, { decoder, signal: options.signal })) state.add(event);
  return state.report({ compression, facts: decoder.facts() });
}

async function verifyFile(file: PositionFile, options: VerifyArchiveOptions): Promise<VmaReport> {
  const content = wantsContent(options);
  const headersOnly = options.mode === 'headers' && !content;
  const state = new Verification(headersOnly ? { ...options, onContent: undefined } : options, content);
  const decoder = new VmaDecoder({ salvage: true, headersOnly: content || options.mode === 'headers' });
  const events =
    content || options.mode === 'headers'
      ? decodeHeaders(file, { decoder, signal: options.signal })
      : decodeStream(fileChunks(file.path, options.signal), { decoder, signal: options.signal });
  for await (const event of events) state.add(event);
  if (content) await state.readContent(file, decoder.facts());
  return state.report({ compression: 'none', facts: decoder.facts() });
}

const wantsContent = ({ hash, checks }: VerifyArchiveOptions): boolean => hash === true || checks !== undefined;
