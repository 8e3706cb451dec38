import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a `before` hook or a test has as `this`. */
export interface Skippable {
  skip(): never;
}

/** Where programs for administrators live; often missing in the PATH of a user. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin'];

/**
 * Skips a test, loudly, where a program it needs is not installed; under `CI=true` that is a failure.
 * @param tools - names looked up in PATH, which gets the folders of system programs if it has them not
 */
export function requireTools(test: Skippable, tools: readonly string[]): void {
  extendPath();
  const missing = tools.filter((tool) => !installed(tool));
  if (missing.length === 0) return;
  const reason = `not installed: ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(reason);
  skipEverywhere(test, reason);
}

/** Skips a test and says why, in CI as well: for what no machine of this kind can have. */
export function skipEverywhere(test: Skippable, reason: string): never {
  process.stderr.write(`\n*** INTEGRATION TEST SKIPPED, ${reason} ***\n`);
  return test.skip();
}

function extendPath(): void {
  const folders = pathFolders();
  const missing = SYSTEM_FOLDERS.filter((folder) => !folders.includes(folder));
  process.env['PATH'] = [...folders, ...missing].join(delimiter);
}

function installed(tool: string): boolean {
  return pathFolders().some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const pathFolders = (): string[] => (process.env['PATH'] ?? '').split(delimiter);
