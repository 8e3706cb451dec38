import { NothingSchema, type VdiRecord } from './records.js';
import type { XenSession } from './session.js';

// Keys in `other_config`. xapi copies other_config into snapshots and clones, ours too, so a copy of a tag proves
// nothing: `self` names the one object that the tags were written for.

/** The backup whose run made the snapshot. */
export const TAG_RUN = 'vbackup:run';
const TAG_SELF = 'vbackup:self';
const TAG_REPOSITORY = 'vbackup:repository';
const TAG_GUEST = 'vbackup:guest';

/** Whose snapshot it is. */
export interface Owner {
  readonly backupId: string;
  readonly repositoryId: string;
  /** The guest's id: a disk may be backed up by itself and as a part of its machine. */
  readonly guestId: string;
}

export async function tagSnapshot(
  session: XenSession,
  snapshot: { readonly reference: string; readonly record: VdiRecord },
  owner: Owner,
  signal?: AbortSignal,
): Promise<void> {
  const tags = {
    ...snapshot.record.other_config,
    [TAG_RUN]: owner.backupId,
    [TAG_SELF]: snapshot.record.uuid,
    [TAG_REPOSITORY]: owner.repositoryId,
    [TAG_GUEST]: owner.guestId,
  };
  await session.call(NothingSchema, 'VDI.set_other_config', [snapshot.reference, tags], { signal });
}

/** Whether vbackup wrote the tags of this very object. */
export function isOurs(record: VdiRecord): boolean {
  return record.is_a_snapshot && record.other_config[TAG_SELF] === record.uuid;
}

/** Whether it was made for this guest and repository, by whichever run. */
export function belongsTo(record: VdiRecord, owner: Omit<Owner, 'backupId'>): boolean {
  const { other_config: tags } = record;
  return isOurs(record) && tags[TAG_REPOSITORY] === owner.repositoryId && tags[TAG_GUEST] === owner.guestId;
}
