import koffi from 'koffi';
import { connect, NativeCallError } from '../native/index.js';

// Makes many calls of libvirt's own test driver and prints, as JSON, what is left: node leak-child.js <calls>
const calls = Number(process.argv[2]);
const sink = { event: () => undefined, lost: () => undefined };
const connected = connect({ uri: 'test:///default' }, sink);
const handlers = new Map(connected.handlers.map((handler) => [handler.name, handler]));
const ask = (name: string, values: unknown): unknown => handlers.get(name)?.run(values);

const domain = '6695eb01-f6a4-8304-79aa-97f2502e193f';
ask('createCheckpoint', { domain, xml: '<domaincheckpoint><name>one</name></domaincheckpoint>' });
ask('createCheckpoint', { domain, xml: '<domaincheckpoint><name>two</name></domaincheckpoint>' });

/** Each with the strings that libvirt makes for us, which must be freed. */
const work: readonly (readonly [ownedTexts: number, () => unknown])[] = [
  [1, () => ask('domainXml', { domain })],
  [2, () => ask('host', {})],
  [0, () => ask('listDomains', {})],
  [0, () => ask('findDomain', { name: 'test' })],
  [0, () => ask('listCheckpoints', { domain })],
  [1, () => ask('checkpointXml', { domain, name: 'two' })],
  [0, () => ask('fileSystems', { domain })],
  [0, () => ask('diskErrors', { domain })],
  [0, () => refused(() => ask('findDomain', { name: 'nobody' }))],
  [0, () => refused(() => ask('checkpointXml', { domain, name: 'none' }))],
];

const warm = residentBytes(calls);
const disposedBefore = koffi.stats().disposed;
const after = residentBytes(calls);
const disposed = koffi.stats().disposed - disposedBefore;
const ownedTexts = (work.reduce((sum, [count]) => sum + count, 0) * calls) / work.length;
const references = connected.close();
// What libvirt removes while it closes is let go a turn later.
setImmediate(() => {
  const pending = connected.pending();
  process.stdout.write(JSON.stringify({ disposed, ownedTexts, references, pending, growth: after - warm }));
});

function residentBytes(count: number): number {
  for (let done = 0; done < count; done += 1) work[done % work.length]?.[1]();
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

function refused(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (error instanceof NativeCallError) return;
    throw error;
  }
  throw new Error('libvirt did not refuse');
}
