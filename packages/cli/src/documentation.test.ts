import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { EXIT, EXIT_BY_CODE } from './exit-codes.js';
import { vocabulary } from './grammar/vocabulary.js';
import { JSON_LINE } from './testing/json-promise.js';

const read = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');

/** Every key of the objects that a schema allows. */
function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  if (typeof schema !== 'object' || schema === null) return found;
  if ('entries' in schema && typeof schema.entries === 'object' && schema.entries !== null) {
    for (const [key, value] of Object.entries(schema.entries)) {
      found.add(key);
      keysOf(value, found);
    }
  }
  for (const inner of ['options', 'item', 'wrapped'] as const) {
    const value: unknown = Reflect.get(schema, inner);
    for (const each of Array.isArray(value) ? value : [value]) keysOf(each, found);
  }
  return found;
}

describe('the documentation of the command', () => {
  it('names every field that --json can write', () => {
    const keys = keysOf(JSON_LINE);
    assert.ok(keys.size > 60, `only ${keys.size} keys were found`);
    const text = read('json-output.md');
    assert.deepEqual(
      [...keys].filter((key) => !text.includes(`\`${key}\``)),
      [],
    );
  });

  it('lists the error codes of each exit code', () => {
    const items = [...read('errors.md').matchAll(/^- \*\*(?<exitCode>\d+)\*\*(?<text>(?:.|\n(?=  ))*)/gm)];
    const listed = items.flatMap(({ groups }) =>
      [...(groups?.['text'] ?? '').matchAll(/`(VB_\w+)`/g)].map(([, code]) => `${code} ${groups?.['exitCode']}`),
    );
    const promised = Object.entries(EXIT_BY_CODE).map(([code, exitCode]) => `${code} ${exitCode}`);
    assert.deepEqual(listed.sort(), promised.sort());
  });

  it('names every command, option and exit code', () => {
    const text = read('cli.md');
    const { globals, commands } = vocabulary([]);
    const flags = [...globals, ...commands.flatMap(({ options }) => options)].flatMap((option) => option.flags);
    assert.ok(flags.includes('--level'));
    for (const flag of flags) assert.match(text, new RegExp(`\`${flag}[ \`]`), flag);
    for (const { name } of commands) assert.ok(text.includes(`\n## ${name}\n`), name);
    for (const code of Object.values(EXIT)) assert.match(text, new RegExp(`^\\|.*\\b${code}\\b.*\\|`, 'm'));
  });
});
