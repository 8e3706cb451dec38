import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { VBackupError } from '../../errors/index.js';
import { shapeError } from '../../errors/shape-fault.js';
import { ioError } from '../../storage/io-error.js';
import type { Manifest } from '../manifest.js';
import { jsonObject, manifestSchema } from './manifest-schema.js';

/** A manifest is small: names, and one line per file. More is no manifest. */
const MANIFEST_LENGTH_LIMIT = 16 * 1024 * 1024;

const envelope = v.object({ manifest: jsonObject, sha256: v.string() });

/**
 * The manifest's file: `{ "manifest": {…}, "sha256": "…" }`, indented by two, the digest over the manifest's compact JSON.
 * Any changed byte of it is found: the text must be exactly what its content renders to.
 */
export function encodeManifest(manifest: Manifest): string {
  return render(JSON.parse(JSON.stringify(manifest)));
}

/** @throws VBackupError VB_MANIFEST_DAMAGED, VB_REPOSITORY_VERSION */
function decodeManifest(text: string, path: string): Manifest {
  const parsed = v.safeParse(envelope, parseJson(text, path));
  if (!parsed.success) throw damaged(path, 'is no manifest', shapeError(parsed.issues));
  const { manifest } = parsed.output;
  if (text !== render(manifest)) throw damaged(path, 'does not have the digest that it names');
  const version = manifest['version'];
  if (manifest['format'] === 'vbackup-manifest' && typeof version === 'number' && version > 1) {
    throw new VBackupError('VB_REPOSITORY_VERSION', `manifest ${path} has version ${version}, newer than 1`, {
      cure: 'use a newer vbackup',
    });
  }
  const checked = v.safeParse(manifestSchema, manifest);
  if (!checked.success) {
    const fault = shapeError(checked.issues);
    throw damaged(path, fault.message, fault);
  }
  return checked.output;
}

/** @throws VBackupError VB_MANIFEST_DAMAGED, VB_REPOSITORY_VERSION, VB_IO, VB_ACCESS_DENIED */
export async function readManifest(path: string): Promise<Manifest> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    throw ioError(error, `cannot read the manifest ${path}`);
  }
  if (content.length > MANIFEST_LENGTH_LIMIT) throw damaged(path, `has ${content.length} bytes`);
  return decodeManifest(content.toString('utf8'), path);
}

function render(manifest: unknown): string {
  const sha256 = createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
  return `${JSON.stringify({ manifest, sha256 }, null, 2)}\n`;
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(path, 'is not JSON', error);
  }
}

const damaged = (path: string, detail: string, cause?: unknown): VBackupError =>
  new VBackupError('VB_MANIFEST_DAMAGED', `manifest ${path} ${detail}`, { cause });
