import assert from 'node:assert/strict';
import * as v from 'valibot';
import { ProtocolError } from '../errors/index.js';
import { shapeFault, shapePath } from '../errors/shape-fault.js';
import type { JsonValue } from '../hypervisor/index.js';

/** The longest META that is read or written; real ones have about 350 bytes. */
export const MAX_META_LENGTH = 1024 * 1024;

/** Digits of the largest number that is exact, 2^53 - 1: `dataSize` is padded to them. */
const DATA_SIZE_WIDTH = 16;

/** Which backups of ours a file is and stands on; when present, it decides the order of a chain. */
export interface BackupLink {
  readonly id: string;
  readonly parent: string | null;
}

/** What the META frame of any version says. */
export interface StreamMeta {
  /** Size of the disk in bytes. */
  readonly virtualSize: number;
  /** Sum of the lengths of all DATA frames. */
  readonly dataSize: number;
  /** Local time of the machine that wrote, `YYYY-MM-DDTHH:MM:SS[.ffffff]`; empty in the oldest files. */
  readonly date: string;
  readonly diskName: string;
  readonly diskFormat: string | undefined;
  readonly checkpointName: string;
  /** Empty for a full and a copy. */
  readonly parentCheckpoint: string;
  readonly incremental: boolean;
  readonly streamVersion: 1 | 2;
  /** True if the payloads are LZ4 frames and a trailer follows. */
  readonly compressed: boolean;
  /** Present in files that vbackup wrote. */
  readonly vbackup: BackupLink | undefined;
}

/** What a writer says of a stream. */
export interface StreamOptions {
  readonly virtualSize: number;
  readonly diskName: string;
  readonly diskFormat: string;
  readonly checkpointName: string;
  /** Empty for a full and a copy. */
  readonly parentCheckpoint: string;
  readonly incremental: boolean;
  /** False, or the LZ4 level that is recorded. */
  readonly compressed: false | number;
  readonly date: Date;
  /** What `dataSize` says until the stream is finished. Default 0, which readers of the peer take for a file that is not. */
  readonly dataSize?: number | undefined;
  /** Written behind the known keys. */
  readonly extra?: Readonly<Record<string, JsonValue>> | undefined;
}

const size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const FIRST_SPELLINGS: readonly (readonly [string, string])[] = [
  ['virtual-size', 'virtualSize'],
  ['data-size', 'dataSize'],
  ['disk_name', 'diskName'],
  ['stream-version', 'streamVersion'],
];

const metaSchema = v.pipe(
  v.looseObject({
    virtualSize: size,
    dataSize: size,
    date: v.optional(v.string(), ''),
    diskName: v.string(),
    diskFormat: v.optional(v.string()),
    checkpointName: v.optional(v.string(), ''),
    parentCheckpoint: v.optional(v.union([v.string(), v.literal(false), v.null()]), ''),
    incremental: v.optional(v.boolean(), false),
    streamVersion: v.optional(v.pipe(v.number(), v.safeInteger()), 1),
    compressed: v.optional(v.union([v.boolean(), v.pipe(v.number(), v.finite())]), false),
    compressionMethod: v.optional(v.string()),
    vbackup: v.optional(
      v.object({ id: v.pipe(v.string(), v.minLength(1)), parent: v.nullable(v.pipe(v.string(), v.minLength(1))) }),
    ),
  }),
  v.readonly(),
);

/**
 * Reads the JSON of a META frame, in any spelling that a released writer used; keys it does not know are left out.
 * @param at - where the JSON begins in the file
 * @throws ProtocolError VB_SPARSE_META for what is not such an object, VB_SPARSE_VERSION for a version or compression
 * that came later
 */
export function parseMeta(json: Buffer, at: number): StreamMeta {
  const parsed = v.safeParse(metaSchema, renamed(jsonObject(json, at), at));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new ProtocolError('VB_SPARSE_META', `META cannot be used: ${shapePath(issue)}: ${shapeFault(issue)}`, at);
  }
  const { streamVersion: version, compressionMethod: method, parentCheckpoint, vbackup, ...meta } = parsed.output;
  if (version !== 1 && version !== 2) {
    throw new ProtocolError('VB_SPARSE_VERSION', `stream version ${version} is not known`, at);
  }
  // The peer's own rule: any value but `false` counts, 0 included.
  const compressed = version === 2 && meta.compressed !== false;
  if (compressed && method !== undefined && method !== 'lz4') {
    throw new ProtocolError('VB_SPARSE_VERSION', `compression method "${method}" is not known`, at);
  }
  return {
    virtualSize: meta.virtualSize,
    dataSize: meta.dataSize,
    date: meta.date,
    diskName: meta.diskName,
    diskFormat: meta.diskFormat,
    checkpointName: meta.checkpointName,
    parentCheckpoint: parentCheckpoint === false || parentCheckpoint === null ? '' : parentCheckpoint,
    incremental: meta.incremental,
    streamVersion: version,
    compressed,
    vbackup,
  };
}

function jsonObject(json: Buffer, at: number): object {
  let value: unknown;
  try {
    value = JSON.parse(json.toString('utf8'));
  } catch (cause) {
    throw new ProtocolError('VB_SPARSE_META', 'META is not JSON', at, { cause });
  }
  if (typeof value !== 'object' || value === null) {
    throw new ProtocolError('VB_SPARSE_META', 'META is not a JSON object', at);
  }
  return value;
}

function renamed(found: object, at: number): Readonly<Record<string, unknown>> {
  const meta: Record<string, unknown> = { ...found };
  for (const [old, name] of FIRST_SPELLINGS) {
    if (!(old in meta)) continue;
    if (name in meta) throw new ProtocolError('VB_SPARSE_META', `META has both "${old}" and "${name}"`, at);
    meta[name] = meta[old];
  }
  return meta;
}

/** The JSON of a META frame, and where in it the number of `dataSize` stands, padded with blanks. */
export interface EncodedMeta {
  readonly json: Buffer;
  readonly dataSizeAt: number;
}

/** META as the peer formats it, except for the blanks that let `dataSize` grow in place. ASCII only. */
export function encodeMeta(options: StreamOptions): EncodedMeta {
  const meta: Readonly<Record<string, JsonValue>> = {
    virtualSize: options.virtualSize,
    dataSize: 0,
    date: localTime(options.date),
    diskName: options.diskName,
    diskFormat: options.diskFormat,
    checkpointName: options.checkpointName,
    compressed: options.compressed,
    compressionMethod: 'lz4',
    parentCheckpoint: options.parentCheckpoint,
    incremental: options.incremental,
    streamVersion: 2,
  };
  const extra = options.extra ?? {};
  for (const key of Object.keys(extra)) assert.ok(!(key in meta), `META has its own "${key}"`);
  const mark = '"dataSize": ';
  const text = asciiJson({ ...meta, ...extra });
  const dataSizeAt = text.indexOf(mark) + mark.length;
  const json = `${text.slice(0, dataSizeAt)}${encodeDataSize(options.dataSize ?? 0).toString('latin1')}${text.slice(dataSizeAt + 1)}`;
  return { json: Buffer.from(json, 'latin1'), dataSizeAt };
}

/** The number in its field: JSON allows the blanks behind it. */
export const encodeDataSize = (dataSize: number): Buffer =>
  Buffer.from(String(dataSize).padEnd(DATA_SIZE_WIDTH, ' '), 'latin1');

/** JSON with everything beyond ASCII escaped, so that characters are bytes. */
const asciiJson = (value: JsonValue | Readonly<Record<string, JsonValue>>): string =>
  JSON.stringify(value, null, 4).replace(
    /[^\x20-\x7e\n]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** `YYYY-MM-DDTHH:MM:SS.ffffff` in the machine's own zone, as the peer writes it. */
function localTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${time}.${String(date.getMilliseconds()).padStart(3, '0')}000`;
}
