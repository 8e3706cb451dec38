import { z } from 'zod';

/** A piece of shared memory, as it goes to a worker. */
const region = z.object({
  memory: z.instanceof(SharedArrayBuffer),
  offset: z.number(),
  length: z.number(),
});

/** SHA-256 of `input`; with an `output`, also one LZ4 frame of it there. */
const encodeJob = z.object({ kind: z.literal('encode'), input: region, output: region.nullable() });
/** Decodes `input` (LZ4 frames) to fill `output` (without one: `input` is what it was), and its SHA-256. */
const decodeJob = z.object({ kind: z.literal('decode'), input: region, output: region.nullable() });
/** SHA-256 and Adler-32 of a whole file. */
const digestJob = z.object({ kind: z.literal('digest'), path: z.string() });

export const job = z.object({
  id: z.number(),
  work: z.discriminatedUnion('kind', [encodeJob, decodeJob, digestJob]),
});

export const result = z.union([
  z.object({
    id: z.number(),
    /** SHA-256. */
    digest: z.instanceof(Uint8Array),
    /** Bytes in `output`, or of the file. */
    length: z.number(),
    adler32: z.number(),
  }),
  z.object({ id: z.number(), error: z.string(), code: z.string().nullable() }),
]);

export type Region = z.infer<typeof region>;
export type Work = z.infer<typeof job>['work'];
export type WorkResult = z.infer<typeof result>;
export type WorkDone = Exclude<WorkResult, { error: string }>;
