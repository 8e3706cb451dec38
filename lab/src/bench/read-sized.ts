import { NbdClient } from '@vbackup/core/nbd/device';

// PORT LENGTH AT_ONCE [FOLDER]: reads a whole export of this host in pieces of one length, so many at once: with our client, or
// with one of that package, Xen Orchestra's, which return each piece in new memory.

const HOST = '127.0.0.1';
/** What commands read over, if there is something to do for them. */
const CONNECTIONS = 2;

const [port = '', length = '', count = '', folder] = process.argv.slice(2);
const pieceLength = Number(length);
const atOnce = Number(count);

/** Every piece is read once, by whichever of `atOnce` readers is free. */
async function readAll(size: number, read: (index: number, slot: Buffer) => Promise<void>): Promise<void> {
  let next = 0;
  const readOn = async (slot: Buffer): Promise<void> => {
    while (next * pieceLength < size) {
      const index = next;
      next += 1;
      await read(index, slot);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, () => readOn(Buffer.allocUnsafeSlow(pieceLength))));
}

async function readOurs(): Promise<void> {
  await using client = await NbdClient.connect({
    address: { kind: 'tcp', host: HOST, port: Number(port) },
    exportName: '',
    connections: Math.min(CONNECTIONS, atOnce),
  });
  await readAll(client.size, (index, slot) => {
    const offset = index * pieceLength;
    return client.read(offset, slot.subarray(0, Math.min(pieceLength, client.size - offset)));
  });
}

interface TheirClient {
  readonly exportSize: bigint;
  connect(): Promise<void>;
  readBlock(index: number, size: number): Promise<Buffer>;
  disconnect(): Promise<void>;
}

const isClient = (value: unknown): value is TheirClient =>
  typeof value === 'object' && value !== null && 'connect' in value && 'readBlock' in value && 'disconnect' in value;

/** For several reads at once they have a client with as many connections, eight unless it is told otherwise. */
async function theirClient(path: string): Promise<TheirClient> {
  const found: unknown = await import(`${path}/${atOnce === 1 ? 'index' : 'multi'}.mjs`);
  const make = typeof found === 'object' && found !== null && 'default' in found ? found.default : undefined;
  if (typeof make !== 'function') throw new TypeError(`${path} exports no client`);
  const settings = { address: HOST, port: Number(port), exportname: '' };
  const client: unknown = Reflect.construct(make, atOnce === 1 ? [settings] : [settings, { nbdConcurrency: atOnce }]);
  if (!isClient(client)) throw new TypeError(`${path} exports another client`);
  return client;
}

async function readTheirs(path: string): Promise<void> {
  const client = await theirClient(path);
  await client.connect();
  await readAll(Number(client.exportSize), async (index) => {
    const bytes = await client.readBlock(index, pieceLength);
    if (bytes.length !== pieceLength) throw new Error(`block ${index} has ${bytes.length} bytes`);
  });
  await client.disconnect();
}

await (folder === undefined ? readOurs() : readTheirs(folder));
