import { writeSync } from 'node:fs';
import { type HeapProfiler, Session } from 'node:inspector';

// node --import lab/dist/bench/allocations.js packages/cli/bin/vbackup.mjs …: what the main thread allocated on its heap until it
// ended, collected or not, and who did, on standard error. Of two runs that differ in length only, the difference is the steady state.

/** Bytes between two samples, on average. */
const SAMPLING_INTERVAL = 4096;
const FUNCTIONS_SHOWN = 12;

interface Share {
  readonly name: string;
  readonly bytes: number;
}

const session = new Session();
session.connect();
session.post('HeapProfiler.startSampling', {
  samplingInterval: SAMPLING_INTERVAL,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
});

function* shares(node: HeapProfiler.SamplingHeapProfileNode): Generator<Share> {
  const { functionName, url, lineNumber } = node.callFrame;
  yield {
    name: `${functionName || '(anonymous)'} ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`,
    bytes: node.selfSize,
  };
  for (const child of node.children) yield* shares(child);
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

process.on('exit', () => {
  session.post('HeapProfiler.stopSampling', (error, result) => {
    if (error !== null) throw error;
    const sums = new Map<string, number>();
    for (const { name, bytes } of shares(result.profile.head)) sums.set(name, (sums.get(name) ?? 0) + bytes);
    const total = [...sums.values()].reduce((sum, bytes) => sum + bytes, 0);
    const { arrayBuffers } = process.memoryUsage();
    const most = [...sums].toSorted(([, one], [, other]) => other - one).slice(0, FUNCTIONS_SHOWN);
    const lines = [
      `allocated on the heap: ${mib(total)}; buffers at the end: ${mib(arrayBuffers)}`,
      ...most.map(([name, bytes]) => `  ${mib(bytes)} ${name}`),
    ];
    writeSync(process.stderr.fd, `${lines.join('\n')}\n`);
  });
});
