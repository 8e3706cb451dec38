import type { SnapshotRequest } from '@vbackup/core';
import type { CheckpointOwner, LibvirtCheckpoint } from '../checkpoint/index.js';
import type { DomainFacts, LibvirtConnection } from '../connection/index.js';
import type { DomainDescription } from '../domain/index.js';
import type { ChosenDisks } from './choose-disks.js';
import type { GuestPlace } from './guest-id.js';

/** What is known before anything is done to a domain. */
export interface SnapshotPlan {
  readonly libvirt: LibvirtConnection;
  /** The URI that leads to another machine; null for this one. */
  readonly remote: string | null;
  readonly facts: DomainFacts;
  readonly place: GuestPlace;
  readonly description: DomainDescription;
  readonly chosen: ChosenDisks;
  /** What the last backup left; null for a full. */
  readonly record: LibvirtCheckpoint | null;
  readonly owner: CheckpointOwner;
  readonly request: SnapshotRequest;
}
