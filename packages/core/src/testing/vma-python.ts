import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const READER = fileURLToPath(new URL('../../../../lab/vma-reader.py', import.meta.url));

const foundSchema = z.object({
  uuid: z.string(),
  ctime: z.number(),
  headerLength: z.number(),
  configs: z.array(z.object({ name: z.string(), size: z.number(), sha256: z.string() })),
  devices: z.array(
    z.object({
      id: z.number(),
      name: z.string(),
      size: z.number(),
      sha256: z.string(),
      full: z.number(),
      partial: z.number(),
      zero: z.number(),
    }),
  ),
  extents: z.array(z.object({ offset: z.number(), blockCount: z.number(), clusters: z.number() })),
});

/** What the independent reader, `lab/vma-reader.py`, makes of an archive. */
export type PythonVmaFindings = z.infer<typeof foundSchema>;

/** Reads archives with the independent reader. @throws Error with what it said, if it refuses one */
export function readWithPython(paths: readonly string[]): PythonVmaFindings[] {
  const output = execFileSync('python3', [READER, 'verify', ...paths], { encoding: 'utf8', stdio: 'pipe' });
  return output
    .trimEnd()
    .split('\n')
    .map((line) => foundSchema.parse(JSON.parse(line)));
}

/** Extracts an archive into a new folder with the independent reader. */
export function extractWithPython(path: string, folder: string): void {
  execFileSync('python3', [READER, 'extract', path, folder], { stdio: 'pipe' });
}
