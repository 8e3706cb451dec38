import { FragmentedBenchFile } from './filemap.js';
import { IncrementSuite } from './increment.js';
import { LatencySuite } from './latency.js';
import { NbdCopyBench } from './nbd-copy.js';
import { ReadSuite } from './nbd-read.js';
import { RateSuite } from './rate.js';
import { RawFileSuite } from './raw-file.js';
import { RestoreSuite } from './restore.js';
import { ServeSuite } from './serve.js';
import { SparseBenchFile } from './sparse-copy.js';
import { StartSuite } from './start.js';
import { StreamSuite } from './stream.js';
import type { MakeSuite } from './suite.js';
import { ClientSuite } from './vates-client.js';
import { VmaBenchFile } from './vma-archive.js';

/** By the names that `--only` takes, in the order in which they run. */
export const SUITES: Readonly<Record<string, MakeSuite>> = {
  read: (scale) => ReadSuite.make(scale),
  raw: (scale) => RawFileSuite.make(scale),
  stream: (scale) => StreamSuite.make(scale),
  increment: (scale) => IncrementSuite.make(scale),
  restore: (scale) => RestoreSuite.make(scale),
  serve: (scale) => ServeSuite.make(scale),
  latency: (scale) => LatencySuite.make(scale),
  rate: (scale) => RateSuite.make(scale),
  start: () => StartSuite.make(),
  client: (scale) => ClientSuite.make(scale),
  copy: ({ size }) => SparseBenchFile.make(size),
  'nbd-copy': ({ size }) => NbdCopyBench.make(size),
  map: (scale) => FragmentedBenchFile.make(scale),
  vma: ({ size }) => VmaBenchFile.make(size),
};
