import { createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { AUDIT_SYNTAX, parseAudit } from '../audit-shares.js';
import { BUILT_IN_PLUGINS } from '../built-in-plugins.js';
import type { Configuration, PluginTable } from './configuration.js';

const PLUGIN_NAME = /^[a-z][a-z0-9-]{0,31}$/;

const ROOT = z.strictObject({
  repository: z.string().min(1).optional(),
  compress: z.enum(['lz4', 'none']).optional(),
  connections: z.int().min(1).max(16).optional(),
  audit: z
    .string()
    .transform((text, context) => {
      const shares = parseAudit(text);
      if (shares === undefined) context.addIssue({ code: 'custom', message: `it is ${AUDIT_SYNTAX}` });
      return shares;
    })
    .optional(),
  plugins: z.record(z.string().regex(PLUGIN_NAME), z.string().min(1)).optional(),
});

const PLUGIN_TABLE = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/** @throws VBackupError VB_CLI_CONFIGURATION with the line */
export function parseConfiguration(source: string, path: string): Configuration {
  const folder = dirname(path);
  const root: Record<string, unknown> = {};
  const tables: Record<string, PluginTable> = {};
  const parsed = parseToml(source, path);
  const declared = typeof parsed['plugins'] === 'object' ? parsed['plugins'] : {};
  for (const [name, value] of Object.entries(parsed)) {
    if (name !== 'plugins' && isTable(value) && isPlugin(name, declared, folder)) {
      const table = PLUGIN_TABLE.safeParse(value);
      if (!table.success) throw fault(path, source, table.error.issues[0], [name]);
      tables[name] = table.data;
    } else root[name] = value;
  }
  const checked = ROOT.safeParse(root);
  if (!checked.success) throw fault(path, source, checked.error.issues[0], []);
  const repository = checked.data.repository === undefined ? undefined : resolve(folder, checked.data.repository);
  return { path, folder, ...checked.data, repository, plugins: checked.data.plugins ?? {}, tables };
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

const isTable = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

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

function fault(
  path: string,
  source: string,
  issue: z.core.$ZodIssue | undefined,
  table: readonly string[],
): VBackupError {
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  const key = [...table, ...(issue?.path ?? []).map(String), ...unknown.slice(0, 1)];
  const line = lineOf(source, key);
  const where = line === undefined ? path : `${path}:${line}`;
  const what = unknown.length > 0 ? ' is not known' : `: ${lowerFirst(issue?.message ?? 'not valid')}`;
  return new VBackupError('VB_CLI_CONFIGURATION', `${where}: ${key.join('.')}${what}`, {
    cure: 'docs/configuration.md lists what may stand there',
  });
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

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
