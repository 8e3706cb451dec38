import { createHash } from 'node:crypto';
import type { ManifestFile } from '../manifest.js';

/** How a small file stands in the manifest. */
export const fileEntry = (path: string, content: Buffer): ManifestFile => ({
  path,
  size: content.length,
  sha256: createHash('sha256').update(content).digest('hex'),
});
