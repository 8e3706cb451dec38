import { VBackupError } from '../errors/index.js';
import { type AllocationKind, type Extent, endOf } from '../extent/index.js';
import type { ContextExtent, NbdExport } from '../nbd/server/export.js';
import { NBD_STATE_HOLE, NBD_STATE_ZERO } from '../nbd/words.js';
import type { ServedDisk } from './served-disk.js';

/** The context of doc/proto.md, "`base:allocation` metadata context". */
export const ALLOCATION_CONTEXT = 'base:allocation';
/** The contexts of other points in time begin with this, and end with the id of a backup. */
export const CHANGED_SINCE_CONTEXT = 'vbackup:changed-since-';
/** The only flag of a `vbackup:changed-since-…` context: the range may differ. The same bit as `qemu:dirty-bitmap:…`. */
export const VBACKUP_STATE_DIRTY = 0x0001;

/** Clients without a wish of their own are told to ask for whole blocks of a guest's file system. */
const PREFERRED_BLOCK = 4096;
/** The most extents that are looked for at once; a client asks again for the rest. */
const STATUS_LIMIT = 16_384;

const ALLOCATION_FLAGS: Readonly<Record<AllocationKind, number>> = {
  data: 0,
  zero: NBD_STATE_ZERO,
  hole: NBD_STATE_ZERO + NBD_STATE_HOLE,
};

/** A disk as one connection sees it. Closing it leaves the disk open: it belongs to all. */
export function diskExport(disk: ServedDisk): NbdExport {
  const { name, description, size, writes } = disk;
  return {
    name,
    description,
    size,
    readOnly: writes === undefined,
    // What one connection wrote is what all of them read.
    multiConn: disk.sequential !== true,
    preferredBlock: PREFERRED_BLOCK,
    read: (offset, target, options) => disk.read(offset, target, options),
    ...(disk.lend && { lend: async (range, options) => disk.lend?.(range, options) }),
    ...(writes === undefined
      ? {}
      : {
          write: (offset, bytes, options) => writes.write(offset, bytes, options),
          zero: (range, options) => writes.zero(range, options),
          trim: (range, options) => writes.trim(range, options),
          flush: (options) => writes.flush(options),
        }),
    metaContexts: [ALLOCATION_CONTEXT, ...disk.changedSince.map(({ id }) => `${CHANGED_SINCE_CONTEXT}${id}`)],
    status: (context, range, options = {}) =>
      collect(flagged(disk, context, range, options.signal), { range, maximum: options.maximum ?? STATUS_LIMIT }),
  };
}

interface FlaggedExtent extends Extent {
  readonly flags: number;
}

async function* flagged(
  disk: ServedDisk,
  context: string,
  range: Extent,
  signal: AbortSignal | undefined,
): AsyncGenerator<FlaggedExtent> {
  if (context === ALLOCATION_CONTEXT) {
    for await (const { offset, length, kind } of disk.extents(range, { signal })) {
      yield { offset, length, flags: ALLOCATION_FLAGS[kind] };
    }
    return;
  }
  const since = disk.changedSince.find(({ id }) => context === `${CHANGED_SINCE_CONTEXT}${id}`);
  if (since === undefined) throw new VBackupError('VB_INTERNAL', `there is no context ${context}`);
  for await (const { offset, length, dirty } of since.extents(range, { signal })) {
    yield { offset, length, flags: dirty ? VBACKUP_STATE_DIRTY : 0 };
  }
}

/** Neighbours of equal flags are one extent; stops at `maximum`. */
async function collect(
  extents: AsyncIterable<FlaggedExtent>,
  { range, maximum }: { readonly range: Extent; readonly maximum: number },
): Promise<ContextExtent[]> {
  const found: { length: number; flags: number }[] = [];
  let end = range.offset;
  for await (const extent of extents) {
    if (extent.offset !== end) throw new VBackupError('VB_INTERNAL', `a status has a gap at ${end}`);
    end = endOf(extent);
    const last = found.at(-1);
    if (last?.flags === extent.flags) last.length += extent.length;
    else if (found.length === Math.min(maximum, STATUS_LIMIT)) break;
    else found.push({ length: extent.length, flags: extent.flags });
  }
  return found;
}
