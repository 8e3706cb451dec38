import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { Leftover } from '../../hypervisor/index.js';
import type { Manifest } from '../manifest.js';
import type { BackupDraft, BackupPlan, Place, PlaceKey, Tip } from '../repository.js';
import { ChainDraft } from './chain-draft.js';
import { cleanUp } from './clean-up.js';
import { findTip } from './find-tip.js';
import { readJournal, removeJournal } from './journal.js';
import type { HeldLock } from './lock.js';
import { enterPlace, leavePlace } from './place-folder.js';
import { scanPlace } from './scan.js';

export interface PlaceShape {
  /** The repository's folder. */
  readonly root: string;
  /** The place's folder, relative to it. */
  readonly place: string;
  readonly key: PlaceKey;
}

interface PlaceState {
  readonly lock: HeldLock;
  readonly tip: Tip;
  readonly history: readonly Manifest[];
  readonly leftover: Leftover | null;
}

/** One guest's folder, locked. It is removed with the lock if there is nothing in it. */
export class ChainPlace implements Place {
  readonly tip: Tip;
  readonly history: readonly Manifest[];
  readonly #shape: PlaceShape;
  readonly #lock: HeldLock;
  #leftover: Leftover | null;

  private constructor(shape: PlaceShape, state: PlaceState) {
    this.#shape = shape;
    this.#lock = state.lock;
    this.tip = state.tip;
    this.history = state.history;
    this.#leftover = state.leftover;
  }

  /** Makes the place's folder if it is not there. @throws VBackupError VB_REPOSITORY_LOCKED, VB_REPOSITORY_DAMAGED */
  static async open(shape: PlaceShape): Promise<ChainPlace> {
    const folder = join(shape.root, shape.place);
    const lock = await enterPlace(folder);
    try {
      const record = await readJournal(folder);
      const leftover = record === null ? null : await cleanUp(shape.root, shape.place, record);
      const catalogue = await scanPlace(shape.root, shape.place);
      const tip = await findTip(shape.root, catalogue);
      return new ChainPlace(shape, { lock, tip, leftover, history: catalogue.backups });
    } catch (error) {
      await leavePlace(folder, lock);
      throw error;
    }
  }

  get leftover(): Leftover | null {
    return this.#leftover;
  }

  async settle(): Promise<void> {
    await removeJournal(join(this.#shape.root, this.#shape.place));
    this.#leftover = null;
  }

  async begin(plan: BackupPlan): Promise<BackupDraft> {
    if (this.#leftover !== null) {
      throw new VBackupError('VB_INTERNAL', `backup ${this.#leftover.backupId} is not settled`);
    }
    return ChainDraft.begin({ ...this.#shape, plan, tip: this.tip, newest: this.history.at(-1)?.id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await leavePlace(join(this.#shape.root, this.#shape.place), this.#lock);
  }
}
