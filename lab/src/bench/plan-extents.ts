import { planCopy } from '@vbackup/core/backup/copy';

// Plans what a guest leaves behind that wrote everywhere: a million extents, to its last request.

const COUNT = 1_000_000;
const STEP = 1024 * 1024;
const LENGTH = 64 * 1024;
const size = COUNT * STEP;

function* extents(): Generator<{ readonly offset: number; readonly length: number }> {
  for (let index = 0; index < COUNT; index += 1) yield { offset: index * STEP, length: LENGTH };
}

const limits = { alignment: 512, maximumRequest: 32 * 1024 * 1024, maximumInFlight: 16 };
const reader = {
  size,
  limits,
  read: () => Promise.reject(new Error('nothing is read')),
  allocation: async function* (range: { readonly offset: number; readonly length: number }) {
    yield { kind: 'data', ...range } as const;
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
let planned = 0;
for await (const window of planCopy({ reader, size, extents: extents(), unit: LENGTH })) planned += window.length;
if (planned !== COUNT) throw new Error(`${planned} ranges are planned of ${COUNT}`);
