import type { PieceHasher } from '../../vma/index.js';
import { sharedWorkers, type WorkerPool } from './worker-pool.js';

/** SHA-256 in worker threads, over shared memory. Whoever uses it holds a lease of the pool. */
export const workerHasher = (workers: WorkerPool = sharedWorkers): PieceHasher => ({
  allocate: (length) => Buffer.from(new SharedArrayBuffer(length)),
  hash: async (bytes) => (await workers.encode(bytes, null)).digest,
});
