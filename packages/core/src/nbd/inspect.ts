import { UnsupportedError } from '../errors/index.js';
import type { NbdConnectOptions } from './connect-options.js';
import { negotiationOptions } from './connection.js';
import { converse } from './conversation.js';
import type { Dialogue } from './dialogue.js';
import { type ListedExport, list } from './export-list.js';
import { type ExportInformation, inquire } from './negotiation.js';
import { encodeOption } from './option-reply.js';
import { NBD_OPT_ABORT } from './words.js';

const CLOSE_TIMEOUT_MS = 2_000;

/**
 * The exports that a server offers, without entering one. The export name in `options` does not matter.
 * @throws UnsupportedError VB_UNSUPPORTED if the server does not list
 * @throws VBackupError VB_NBD_LIST_REFUSED, VB_NBD_CONNECT, VB_NBD_TLS_REQUIRED, …
 */
export function listExports(options: NbdConnectOptions): Promise<readonly ListedExport[]> {
  return ask(options, list({ tls: options.tls !== undefined }));
}

/**
 * Size and flags of an export, without entering it.
 * @throws UnsupportedError VB_UNSUPPORTED if the server has no NBD_OPT_INFO
 */
export async function inspectExport(options: NbdConnectOptions): Promise<ExportInformation> {
  const information = await ask(options, inquire(negotiationOptions(options)));
  if (information !== undefined) return information;
  throw new UnsupportedError('VB_UNSUPPORTED', 'the NBD server tells nothing about an export before it is entered');
}

async function ask<Result>(options: NbdConnectOptions, dialogue: Dialogue<Result>): Promise<Result> {
  const { result, channel } = await converse(options, dialogue);
  channel.write([encodeOption(NBD_OPT_ABORT)]);
  await channel.end(CLOSE_TIMEOUT_MS);
  return result;
}
