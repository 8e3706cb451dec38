import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a `before` hook or a test has as `this`. */
interface Skippable {
  skip(): never;
}

/**
 * Skips a test, loudly, where a program it needs is not installed; under `CI=true` that is a failure.
 * @param tools - names looked up in PATH
 */
export function requireTools(test: Skippable, tools: readonly string[]): void {
  const missing = tools.filter((tool) => !installed(tool));
  if (missing.length === 0) return;
  const message = `not installed: ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') throw new Error(message);
  process.stderr.write(`\n*** INTEGRATION TEST SKIPPED, ${message} ***\n`);
  test.skip();
}

function installed(tool: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
