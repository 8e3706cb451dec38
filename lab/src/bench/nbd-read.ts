import { createHash } from 'node:crypto';
import { loadNbdUri, NbdClient } from '@vbackup/core';
import type { Contender, Contest, Cost, Ratios } from './contest.js';
import { digestOf, timeProgram } from './program.js';

const SLOT_LENGTH = 1024 * 1024;
const SLOTS = 6;

interface BenchExport {
  readonly uri: string;
  readonly bytes: number;
}

/** Reads a whole export to nowhere: nbdcopy against our client, over one and over two connections. */
export function readContest(name: string, export_: BenchExport, target?: Ratios): Contest {
  return {
    name,
    bytes: export_.bytes,
    peer: { name: 'nbdcopy', run: () => timeProgram(['nbdcopy', export_.uri, 'null:']) },
    ours: [1, 2].map((connections) => reader(export_, connections)),
    target,
  };
}

/**
 * Reads an export once with each, not timed, so that a race is not won by reading something else.
 * @throws Error unless both read bytes of this SHA-256
 */
export async function checkReaders(export_: BenchExport, sha256: string): Promise<void> {
  const seen = { nbdcopy: await digestOf(['nbdcopy', export_.uri, '-']), vbackup: await digestOurs(export_.uri) };
  for (const [name, digest] of Object.entries(seen)) {
    if (digest !== sha256) throw new Error(`${name} read other bytes from ${export_.uri} than the disk has`);
  }
}

async function digestOurs(uri: string): Promise<string> {
  const hash = createHash('sha256');
  const slot = Buffer.allocUnsafeSlow(4 * SLOT_LENGTH);
  await using client = await NbdClient.connect(await loadNbdUri(uri));
  for (let offset = 0; offset < client.size; offset += slot.length) {
    const target = slot.subarray(0, Math.min(slot.length, client.size - offset));
    await client.read(offset, target);
    hash.update(target);
  }
  return hash.digest('hex');
}

function reader(export_: BenchExport, connections: number): Contender {
  const slots = Array.from({ length: SLOTS }, () => Buffer.allocUnsafeSlow(SLOT_LENGTH));
  return {
    name: `vbackup, ${connections} connection${connections === 1 ? '' : 's'}`,
    run: async () => {
      const cpu = process.cpuUsage();
      const start = performance.now();
      const bytes = await readAll(export_.uri, { slots, connections });
      const seconds = (performance.now() - start) / 1000;
      if (bytes !== export_.bytes) throw new Error(`read ${bytes} bytes of ${export_.bytes}`);
      return costOf(seconds, process.cpuUsage(cpu));
    },
  };
}

const costOf = (seconds: number, cpu: NodeJS.CpuUsage): Cost => ({
  seconds,
  cpuSeconds: (cpu.user + cpu.system) / 1e6,
});

async function readAll(
  uri: string,
  { slots, connections }: { readonly slots: readonly Buffer[]; readonly connections: number },
): Promise<number> {
  await using client = await NbdClient.connect({ ...(await loadNbdUri(uri)), connections });
  let next = 0;
  let bytes = 0;
  const work = async (slot: Buffer): Promise<void> => {
    while (next < client.size) {
      const offset = next;
      next += slot.length;
      const target = slot.subarray(0, Math.min(slot.length, client.size - offset));
      await client.read(offset, target);
      bytes += target.length;
    }
  };
  await Promise.all(slots.map(work));
  return bytes;
}
