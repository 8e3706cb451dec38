import { createReadStream } from 'node:fs';
import type { WithSignal } from '../hypervisor/index.js';
import { ignoringMissing } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import { openArchiveOutput } from './archive-output.js';
import { encodeSidecar, type Sidecar } from './sidecar.js';
import { SidecarDecoder } from './sidecar-decode.js';

/** Lines that are written together come to about this many characters. */
const CHUNK_LENGTH = 256 * 1024;

/** Writes a sidecar durably; one that has the name is replaced when the new one is complete. */
export async function writeSidecar(path: string, sidecar: Sidecar, options: WithSignal = {}): Promise<void> {
  await using output = await openArchiveOutput({ path, force: true, ...options });
  let text = '';
  for (const line of encodeSidecar(sidecar)) {
    text += line;
    if (text.length < CHUNK_LENGTH) continue;
    await output.write([Buffer.from(text)]);
    text = '';
  }
  await output.write([Buffer.from(text)]);
  await output.finish();
}

/** Reads a sidecar; null if there is none. @throws ProtocolError VB_VMA_SIDECAR; VBackupError VB_IO, VB_ACCESS_DENIED */
export async function readSidecar(path: string, { signal }: WithSignal = {}): Promise<Sidecar | null> {
  return withIo(`cannot read ${path}`, () =>
    ignoringMissing(async () => {
      const decoder = new SidecarDecoder();
      const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: CHUNK_LENGTH, signal });
      for await (const chunk of chunks) decoder.push(chunk);
      return decoder.end();
    }),
  );
}
