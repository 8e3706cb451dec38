import { VBackupError } from '../../errors/index.js';
import type { Journal, WithSignal } from '../../hypervisor/index.js';
import type { ImageReader } from '../image.js';
import { randomId } from '../repository/names.js';
import type { BackupDraft, BackupPlan, Catalogue, Damage, Place, PlaceKey, Repository, Tip } from '../repository.js';
import { ArchiveDraft, type FinishedArchive, type NewArchive } from './archive-draft.js';

/**
 * One archive as the place of one backup. What a run leaves on a hypervisor if it dies is noted in `notes`, another
 * repository, in which nothing is ever committed; without it nothing is noted.
 */
export class ArchiveRepository implements Repository {
  readonly id: string;
  readonly location = 'an archive';
  readonly #archive: NewArchive;
  readonly #notes: Repository | null;
  #draft: ArchiveDraft | null = null;

  constructor(archive: NewArchive, notes: Repository | null) {
    this.#archive = archive;
    this.#notes = notes;
    this.id = notes?.id ?? randomId();
  }

  /** What was written; null before the commit. */
  get finished(): FinishedArchive | null {
    return this.#draft?.finished ?? null;
  }

  async openPlace(key: PlaceKey, options?: WithSignal): Promise<Place> {
    const inner = this.#notes === null ? new UnnotedPlace() : await this.#notes.openPlace(key, options);
    return new ArchivePlace(inner, (draft, plan) => {
      if (this.#draft !== null) throw new VBackupError('VB_INTERNAL', 'an archive takes one backup');
      this.#draft = new ArchiveDraft({ archive: this.#archive, plan, key, inner: draft });
      return this.#draft;
    });
  }

  catalogue(): Promise<Catalogue> {
    return Promise.resolve({ backups: [], damaged: [] });
  }

  openImage(): Promise<ImageReader> {
    throw new VBackupError('VB_INTERNAL', 'an archive that is being written cannot be read');
  }

  verify(): Promise<readonly Damage[]> {
    throw new VBackupError('VB_INTERNAL', 'an archive that is being written cannot be verified');
  }
}

/** Nothing stands on an archive: every backup in it is whole. */
class ArchivePlace implements Place {
  readonly tip: Tip = { kind: 'none' };
  readonly history = [];
  readonly #inner: Place;
  readonly #draft: (inner: BackupDraft, plan: BackupPlan) => BackupDraft;

  constructor(inner: Place, draft: (inner: BackupDraft, plan: BackupPlan) => BackupDraft) {
    this.#inner = inner;
    this.#draft = draft;
  }

  get leftover(): Place['leftover'] {
    return this.#inner.leftover;
  }

  settle(): Promise<void> {
    return this.#inner.settle();
  }

  async begin(plan: BackupPlan): Promise<BackupDraft> {
    return this.#draft(await this.#inner.begin(plan), plan);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

/** For sources on which a run leaves nothing. */
class UnnotedPlace implements Place {
  readonly tip: Tip = { kind: 'none' };
  readonly history = [];
  readonly leftover = null;

  async settle(): Promise<void> {}

  async begin(): Promise<BackupDraft> {
    return new UnnotedDraft();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class UnnotedDraft implements BackupDraft {
  readonly id = randomId();
  readonly journal: Journal = { record: async () => {} };

  async choose(): Promise<void> {}

  disk(): never {
    throw new VBackupError('VB_INTERNAL', 'a draft without a place has no disks');
  }

  commit(): never {
    throw new VBackupError('VB_INTERNAL', 'a draft without a place cannot be committed');
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
