import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CORE_ERROR_CODES } from '@vbackup/core';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Every error code that stands in the sources of the packages, tests left out. */
function codesInSources(): Set<string> {
  const codes = new Set<string>();
  for (const name of readdirSync(join(root, 'packages'))) {
    const folder = join(root, 'packages', name);
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!/^src\/.*\.ts$|^bin\/.*\.mjs$/.test(entry) || /\.test\.ts$|\/testing\//.test(entry)) continue;
      const text = readFileSync(join(folder, entry), 'utf8');
      for (const [, code] of text.matchAll(/['[](VB_[A-Z0-9_]*[A-Z0-9])['\]]/g))
        if (code !== undefined) codes.add(code);
    }
  }
  return codes;
}

/** The codes that the page explains, each with a cure. */
function explainedCodes(): string[] {
  const text = readFileSync(join(root, 'docs', 'errors.md'), 'utf8');
  return [...text.matchAll(/^### (?<code>VB_[A-Z0-9_]+)$(?<body>(?:(?!^#)[^])*)/gm)].map(({ groups }) => {
    assert.match(groups?.['body'] ?? '', /^Cure: \S/m, `${groups?.['code']} has no cure`);
    return groups?.['code'] ?? '';
  });
}

describe('docs/errors.md', () => {
  it('explains every error code once, with its cure, and no code that does not exist', () => {
    assert.deepEqual(explainedCodes().sort(), [...new Set([...codesInSources(), ...CORE_ERROR_CODES])].sort());
  });
});
