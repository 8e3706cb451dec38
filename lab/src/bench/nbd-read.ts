import { loadNbdUri, NbdClient } from '@vbackup/core';
import type { Contender, Contest, Cost } from './contest.js';
import { timeProgram } from './program.js';

const SLOT_LENGTH = 1024 * 1024;
const SLOTS = 6;

/** Reads a whole export to nowhere: nbdcopy against our client, over one and over two connections. */
export function readContest(name: string, export_: { readonly uri: string; readonly bytes: number }): Contest {
  return {
    name,
    bytes: export_.bytes,
    peer: { name: 'nbdcopy', run: () => timeProgram(['nbdcopy', export_.uri, 'null:']) },
    ours: [1, 2].map((connections) => reader(export_, connections)),
  };
}

function reader(export_: { readonly uri: string; readonly bytes: number }, connections: number): Contender {
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
