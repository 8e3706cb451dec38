import { NbdClient } from '@vbackup/core/nbd/device';

// PORT LENGTH [MODULE]: reads a whole export of this host in pieces of one length, one after the other: with our client, or with
// the NbdClient of that module, Xen Orchestra's, which returns each piece in new memory.

const HOST = '127.0.0.1';

const [port = '', length = '', module] = process.argv.slice(2);
const pieceLength = Number(length);

async function readOurs(): Promise<void> {
  const slot = Buffer.allocUnsafeSlow(pieceLength);
  await using client = await NbdClient.connect({
    address: { kind: 'tcp', host: HOST, port: Number(port) },
    exportName: '',
  });
  for (let offset = 0; offset < client.size; offset += pieceLength) {
    await client.read(offset, slot.subarray(0, Math.min(pieceLength, client.size - offset)));
  }
}

interface TheirClient {
  readonly exportSize: bigint;
  connect(): Promise<void>;
  readBlock(index: number, size: number): Promise<Buffer>;
  disconnect(): Promise<void>;
}

const isClient = (value: unknown): value is TheirClient =>
  typeof value === 'object' && value !== null && 'connect' in value && 'readBlock' in value && 'disconnect' in value;

async function readTheirs(path: string): Promise<void> {
  const found: unknown = await import(path);
  const make = typeof found === 'object' && found !== null && 'default' in found ? found.default : undefined;
  if (typeof make !== 'function') throw new TypeError(`${path} exports no client`);
  const client: unknown = Reflect.construct(make, [{ address: HOST, port: Number(port), exportname: '' }]);
  if (!isClient(client)) throw new TypeError(`${path} exports another client`);
  await client.connect();
  const size = Number(client.exportSize);
  for (let index = 0; index * pieceLength < size; index += 1) {
    const bytes = await client.readBlock(index, pieceLength);
    if (bytes.length !== pieceLength) throw new Error(`block ${index} has ${bytes.length} bytes`);
  }
  await client.disconnect();
}

await (module === undefined ? readOurs() : readTheirs(module));
