import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { shapeFault } from '@vbackup/core/errors/shape-fault';
import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { AUDIT_SYNTAX, parseAudit } from '../audit-shares.js';
import { BUILT_IN_PLUGINS } from '../built-in-plugins.js';
import type { Configuration, PluginTable } from './configuration.js';

const PLUGIN_NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** Keys that a schema leaves out of what it gives, or that are no keys once they are assigned. */
const UNSEEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const ROOT = v.strictObject({
  repository: v.optional(v.pipe(v.string(), v.minLength(1))),
  compress: v.optional(v.picklist(['lz4', 'none'])),
  connections: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(16))),
  audit: v.optional(
    v.pipe(
      v.string(),
      v.check((text) => parseAudit(text) !== undefined, `it is ${AUDIT_SYNTAX}`),
      v.transform(parseAudit),
    ),
  ),
  plugins: v.optional(
    v.pipe(
      // A record takes lists as well.
      v.custom(isTable, 'Invalid type: Expected Object'),
      v.record(v.pipe(v.string(), v.regex(PLUGIN_NAME)), v.pipe(v.string(), v.minLength(1))),
    ),
  ),
});

const PLUGIN_TABLE = v.record(v.string(), v.union([v.string(), v.pipe(v.number(), v.finite()), v.boolean()]));

/** @throws VBackupError VB_CLI_CONFIGURATION with the line */
export function parseConfiguration(source: string, path: string): Configuration {
  const folder = dirname(path);
  const root: Record<string, unknown> = {};
  const tables: Record<string, PluginTable> = {};
  const parsed = parseToml(source, path);
  const place = { path, source };
  refuseUnseenKeys(parsed, place);
  const declared = typeof parsed['plugins'] === 'object' ? parsed['plugins'] : {};
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== 'plugins' && isTable(value) && isPlugin(name, declared, folder)) {
      const table = v.safeParse(PLUGIN_TABLE, value);
      if (!table.success) throw fault(table.issues[0], place, [name]);
      tables[name] = table.output;
    } else root[name] = value;
  }
  const checked = v.safeParse(ROOT, root);
  if (!checked.success) throw fault(checked.issues[0], place);
  const repository = checked.output.repository === undefined ? undefined : resolve(folder, checked.output.repository);
  return { path, folder, ...checked.output, repository, plugins: checked.output.plugins ?? {}, tables };
}

function parseToml(source: string, path: string): Record<string, unknown> {
  try {
    return parse(source);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const what = cause.message.split('\n')[0] ?? 'not TOML';
    throw new VBackupError('VB_CLI_CONFIGURATION', `${path}:${cause.line}:${cause.column}: ${what}`, { cause });
  }
}

/** @throws VBackupError VB_CLI_CONFIGURATION */
function refuseUnseenKeys(parsed: Readonly<Record<string, unknown>>, place: Place): void {
  for (const name of Object.keys(parsed)) {
    if (UNSEEN_KEYS.has(name)) throw unknownKey([name], place);
    const table = parsed[name];
    const unseen = isTable(table) ? Object.keys(table).find((key) => UNSEEN_KEYS.has(key)) : undefined;
    if (unseen !== undefined) throw unknownKey([name, unseen], place);
  }
}

/** A table belongs to a plugin that comes with vbackup, that `[plugins]` names, or that is installed as a package. */
function isPlugin(name: string, declared: unknown, folder: string): boolean {
  if (!PLUGIN_NAME.test(name)) return false;
  if (Object.hasOwn(BUILT_IN_PLUGINS, name)) return true;
  if (typeof declared === 'object' && declared !== null && Object.hasOwn(declared, name)) return true;
  return [resolve(folder, 'config.js'), import.meta.url].some((from) => isInstalled(`vbackup-plugin-${name}`, from));
}

function isInstalled(packageName: string, from: string): boolean {
  try {
    createRequire(from).resolve(packageName);
    return true;
  } catch (error) {
    // A package that only ESM may import is there as well.
    return error instanceof Error && 'code' in error && error.code !== 'MODULE_NOT_FOUND';
  }
}

interface Place {
  readonly path: string;
  readonly source: string;
}

/** @param table - what the issue's own path begins behind */
function fault(issue: v.BaseIssue<unknown>, place: Place, table: readonly string[] = []): VBackupError {
  const key = [...table, ...(issue.path ?? []).map((item) => String(item.key))];
  const isUnknown = issue.type === 'strict_object' && issue.expected === 'never';
  return isUnknown ? unknownKey(key, place) : wrong(key, `: ${shapeFault(issue)}`, place);
}

const unknownKey = (key: readonly string[], place: Place): VBackupError => wrong(key, ' is not known', place);

function wrong(key: readonly string[], what: string, { path, source }: Place): VBackupError {
  const line = lineOf(source, key);
  const where = line === undefined ? path : `${path}:${line}`;
  return new VBackupError('VB_CLI_CONFIGURATION', `${where}: ${key.join('.')}${what}`, {
    cure: 'docs/configuration.md lists what may stand there',
  });
}

/** The line, from 1, where a key or a table begins; undefined where it is written in a way that this does not see. */
function lineOf(source: string, key: readonly string[]): number | undefined {
  const parent = key.slice(0, -1).join('.');
  const own = key.at(-1) ?? '';
  let table = '';
  for (const [at, text] of source.split('\n').entries()) {
    const header = /^\s*\[+\s*([^\]]*?)\s*\]/.exec(text)?.[1];
    if (header !== undefined) table = header;
    if (header === key.join('.')) return at + 1;
    const name = /^\s*["']?([^\s"'=]+)["']?\s*=/.exec(text)?.[1];
    if (table === parent && name === own) return at + 1;
  }
  return undefined;
}
