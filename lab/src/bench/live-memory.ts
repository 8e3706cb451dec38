import { writeSync } from 'node:fs';

// node --expose-gc --import ./lab/dist/bench/live-memory.js packages/cli/bin/vbackup.mjs …: what the main thread still holds after a
// collection of everything, each time that half a GiB more has been written, on standard error.

const MiB = 1024 * 1024;
const STEP = 512 * MiB;
const LOOK_MS = 10;
/** What the kernel counts writes in (getrusage(2), `ru_oublock`). */
const BLOCK_LENGTH = 512;

const mib = (bytes: number): string => `${(bytes / MiB).toFixed(2)} MiB`;

function tell(written: number): void {
  globalThis.gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  const held = `heap ${mib(heapUsed)}, outside ${mib(external)}, of which buffers ${mib(arrayBuffers)}`;
  writeSync(process.stderr.fd, `${mib(written)} written: ${held}\n`);
}

if (globalThis.gc === undefined) throw new Error('live-memory needs node --expose-gc');
let next = 0;
setInterval(() => {
  const written = process.resourceUsage().fsWrite * BLOCK_LENGTH;
  if (written < next) return;
  tell(written);
  next = written + STEP;
}, LOOK_MS).unref();
