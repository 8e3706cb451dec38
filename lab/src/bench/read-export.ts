import { loadNbdUri, NbdClient } from '@vbackup/core/nbd/device';

// URI CONNECTIONS [print]: reads a whole export through the client into a few slots, as a copy does, and drops it; with `print`
// it prints the bytes in order instead.

/** As a copy asks a server that is near (core's backup/copy): in requests of this length … */
const REQUEST_LENGTH = 512 * 1024;
/** … two of which travel together, as `readAll` lets them … */
const SLOT_LENGTH = 2 * REQUEST_LENGTH;
/** … and as much as it has in flight, over all of its connections. */
const SLOTS = 4;

const [uri = '', connections = '1', how] = process.argv.slice(2);
await using client = await NbdClient.connect({ ...(await loadNbdUri(uri)), connections: Number(connections) });
const lengthAt = (offset: number): number => Math.min(SLOT_LENGTH, client.size - offset);

async function printAll(): Promise<void> {
  const slot = Buffer.allocUnsafeSlow(SLOT_LENGTH);
  for (let offset = 0; offset < client.size; offset += SLOT_LENGTH) {
    const target = slot.subarray(0, lengthAt(offset));
    await client.read(offset, target);
    await new Promise((resolve) => process.stdout.write(target, resolve));
  }
}

function* pieces(offset: number, target: Buffer): Generator<{ readonly offset: number; readonly target: Buffer }> {
  for (let at = 0; at < target.length; at += REQUEST_LENGTH) {
    yield { offset: offset + at, target: target.subarray(at, at + REQUEST_LENGTH) };
  }
}

let next = 0;
async function drop(slot: Buffer): Promise<void> {
  while (next < client.size) {
    const offset = next;
    next += SLOT_LENGTH;
    const target = slot.subarray(0, lengthAt(offset));
    await client.readAll([...pieces(offset, target)]);
  }
}

if (how === 'print') await printAll();
else await Promise.all(Array.from({ length: SLOTS }, () => drop(Buffer.allocUnsafeSlow(SLOT_LENGTH))));
