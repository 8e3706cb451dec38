import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';

const READER = fileURLToPath(new URL('../../../../lab/vma-reader.py', import.meta.url));

const foundSchema = v.object({
  uuid: v.string(),
  ctime: v.number(),
  headerLength: v.number(),
  configs: v.array(v.object({ name: v.string(), size: v.number(), sha256: v.string() })),
  devices: v.array(
    v.object({
      id: v.number(),
      name: v.string(),
      size: v.number(),
      sha256: v.string(),
      full: v.number(),
      partial: v.number(),
      zero: v.number(),
    }),
  ),
  extents: v.array(
    v.object({
      offset: v.number(),
      blockCount: v.number(),
      clusters: v.number(),
    }),
  ),
});

/** What the independent reader, `lab/vma-reader.py`, makes of an archive. */
export type PythonVmaFindings = v.InferOutput<typeof foundSchema>;

/** Reads archives with the independent reader. @throws Error with what it said, if it refuses one */
export function readWithPython(paths: readonly string[]): PythonVmaFindings[] {
  const output = execFileSync('python3', [READER, 'verify', ...paths], { encoding: 'utf8', stdio: 'pipe' });
  return output
    .trimEnd()
    .split('\n')
    .map((line) => v.parse(foundSchema, JSON.parse(line)));
}

/** Extracts an archive into a new folder with the independent reader. */
export function extractWithPython(path: string, folder: string): void {
  execFileSync('python3', [READER, 'extract', path, folder], { stdio: 'pipe' });
}
