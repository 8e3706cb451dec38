import { NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_INFO_NAME } from '../words.js';
import type { NbdExport } from './export.js';
import { encodeInfoBlockSize, encodeInfoDescription, encodeInfoExport, encodeInfoName } from './option-codec.js';
import { blockSizes, transmissionFlags } from './served-export.js';

/** Clients that know nothing of block sizes send multiples of this. */
const USUAL_BLOCK = 512;

export interface InfoTerms {
  /** The NBD_INFO_… that the client asks for. */
  readonly items: readonly number[];
  readonly structured: boolean;
  readonly maximumRequest: number;
}

/**
 * The data of every NBD_REP_INFO that answers INFO or GO; undefined where the client must hear of block sizes and did
 * not ask: NBD_REP_ERR_BLOCK_SIZE_REQD.
 */
export function infoReply(disk: NbdExport, terms: InfoTerms): Buffer[] | undefined {
  const sizes = blockSizes(disk, terms.maximumRequest);
  if (sizes.minimum > USUAL_BLOCK && !terms.items.includes(NBD_INFO_BLOCK_SIZE)) return undefined;
  const infos = [encodeInfoExport(disk.size, transmissionFlags(disk, terms.structured)), encodeInfoBlockSize(sizes)];
  if (terms.items.includes(NBD_INFO_NAME)) infos.push(encodeInfoName(disk.name));
  if (terms.items.includes(NBD_INFO_DESCRIPTION) && disk.description !== undefined) {
    infos.push(encodeInfoDescription(disk.description));
  }
  return infos;
}
