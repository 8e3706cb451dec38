import { createHash } from 'node:crypto';
import { loadNbdUri, NbdClient } from '@vbackup/core/nbd/device';

// URI READS: reads so many blocks of 4 KiB, 32 at a time, at places that look random and are the same in every run.

const BLOCK_LENGTH = 4096;
const IN_FLIGHT = 32;
const PLACES_PER_HASH = 8;

const [uri = '', reads = '0'] = process.argv.slice(2);
await using client = await NbdClient.connect(await loadNbdUri(uri));

function* places(): Generator<number> {
  const blocks = Math.floor(client.size / BLOCK_LENGTH);
  for (let index = 0; index < Number(reads); index += PLACES_PER_HASH) {
    const digest = createHash('sha256').update(`vbackup bench ${index}`).digest();
    for (let at = 0; at < PLACES_PER_HASH; at += 1) yield (digest.readUInt32LE(at * 4) % blocks) * BLOCK_LENGTH;
  }
}

const next = places();
async function readAll(slot: Buffer): Promise<void> {
  for (const offset of next) await client.read(offset, slot);
}

await Promise.all(Array.from({ length: IN_FLIGHT }, () => readAll(Buffer.allocUnsafeSlow(BLOCK_LENGTH))));
