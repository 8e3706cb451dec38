import { abortError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { VmaHeader, VmaWarning } from './archive.js';
import type { ArchiveCompression } from './compression.js';
import { VmaDecoder } from './decoder.js';
import { openCompressed } from './decompress.js';

/** What an archive says of itself before its first extent. */
export interface ArchiveBeginning {
  readonly header: VmaHeader;
  readonly compression: ArchiveCompression;
  /** Of the header only. */
  readonly warnings: readonly VmaWarning[];
}

/**
 * Reads the header of an archive and no more than that; what decompresses it is ended early, which is no error.
 * @throws ProtocolError VB_VMA_…; VBackupError VB_VMA_COMPRESSION, VB_UNSUPPORTED, VB_ABORTED, and what the source throws
 */
export async function readArchiveHeader(
  source: AsyncIterable<Buffer>,
  { signal }: WithSignal = {},
): Promise<ArchiveBeginning> {
  const { compression, bytes } = await openCompressed(source, { signal });
  // A damaged extent behind the header is not this function's matter.
  const decoder = new VmaDecoder({ salvage: true, headersOnly: true });
  const warnings: VmaWarning[] = [];
  let header: VmaHeader | undefined;
  for await (const chunk of bytes) {
    if (signal?.aborted === true) throw abortError(signal);
    for (const event of decoder.push(chunk)) {
      if (event.type === 'header') header = event.header;
      else if (event.type === 'warning') warnings.push(event.warning);
      else break;
    }
    if (header !== undefined) return { header, compression, warnings };
  }
  for (const _ of decoder.end()) break;
  throw new TypeError('an archive ended without a header or an error');
}
