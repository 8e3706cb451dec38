import { readFileSync } from 'node:fs';
import * as v from 'valibot';

const packageFile = v.object({ version: v.string() });

/** The version of vbackup that runs, for the manifest. */
export const TOOL_VERSION = v.parse(
  packageFile,
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')),
).version;
