import { LONGEST_FRAME } from '../backup/copy/geometry.js';
import { FrameCache } from '../backup/image/frame-cache.js';

/** What decoded frames of all disks together may take by default. */
export const DEFAULT_CACHE_BYTES = 256 * 1024 * 1024;

/** The cache that all disks of a server share. */
export const servedCache = (bytes = DEFAULT_CACHE_BYTES): FrameCache =>
  new FrameCache({ bytes, longest: LONGEST_FRAME });
