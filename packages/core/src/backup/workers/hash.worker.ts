import { parentPort } from 'node:worker_threads';
import { digestOf } from '../frame-digest/frame-digest.js';
import { isJobBatch, type Job, type ResultBatch, type WorkDone } from './messages.js';

// Runs in a worker thread that computes digests and nothing else: it loads no compressor, and starts in half the time.

parentPort?.on('message', (message: unknown) => {
  if (!isJobBatch(message)) return;
  const batch: ResultBatch = { results: message.jobs.flatMap(hashed) };
  parentPort?.postMessage(batch);
});

function hashed({ id, work }: Job): readonly WorkDone[] {
  if (work.kind !== 'encode') return [];
  const { memory, offset, length } = work.input;
  return [{ id, digest: digestOf(work.algorithm, Buffer.from(memory, offset, length)), length, adler32: 0 }];
}
