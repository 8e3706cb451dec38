import type {
  BackupJob,
  BackupSummary,
  Catalogue,
  Damage,
  DamagedManifest,
  Manifest,
  OnEvent,
  OpenTarget,
  Repository,
  RestoreJob,
  RestoreSummary,
  SavedImage,
  VerifyJob,
  VerifySummary,
} from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { Work } from '../work.js';
import { manifestOf } from './manifest.js';

const unused = (): never => {
  throw new Error('this fake cannot do that');
};

/** Work that is done at once, in memory, and remembered. */
export class FakeWork implements Work {
  readonly #clock: { time: number };
  exists = true;
  backups: Manifest[] = [];
  damaged: DamagedManifest[] = [];
  /** Damage by backup id. */
  readonly damage = new Map<string, readonly Damage[]>();
  /** What happens instead of a backup, by selector. */
  readonly faults = new Map<string, unknown>();
  /** Called in the middle of every backup. */
  during: (job: BackupJob) => Promise<void> | void = () => {};
  /** What is known of the images of every backup's disks. */
  readonly images = new Map<string, SavedImage>();
  readonly opened: { location: string; create: boolean }[] = [];
  readonly jobs: BackupJob[] = [];
  readonly restored: { disk: string; target: string }[] = [];

  constructor(clock: { time: number }) {
    this.#clock = clock;
  }

  readonly openRepository: Work['openRepository'] = (location, { create }) => {
    this.opened.push({ location, create });
    if (!this.exists && !create) {
      return Promise.reject(new VBackupError('VB_ACCESS_DENIED', `no repository at ${location}`, { cure: 'make one' }));
    }
    const catalogue = (): Promise<Catalogue> => Promise.resolve({ backups: this.backups, damaged: this.damaged });
    const repository: Repository = {
      id: '00',
      location,
      catalogue,
      openPlace: unused,
      openImage: unused,
      verify: unused,
    };
    return Promise.resolve(repository);
  };

  readonly runBackup = async (job: BackupJob): Promise<BackupSummary> => {
    this.jobs.push(job);
    const guest = await job.hypervisor.find(job.selector);
    const manifest = manifestOf(`${this.jobs.length}b`, { guest });
    const onEvent = job.onEvent ?? (() => {});
    onEvent({ type: 'start', work: 'backup', id: manifest.id, guest: guest.name });
    const size = 1024 ** 3;
    const disk = 'xvda';
    if (job.auditShares !== undefined) this.#audit(disk, { shares: job.auditShares, onEvent });
    onEvent({ type: 'disk-start', disk, size, level: 'full', reason: 'first-backup', planned: size });
    for (let done = 0; done < size; done += size / 4) {
      this.#clock.time += 1000;
      onEvent({ type: 'progress', disk, done, planned: size });
    }
    onEvent({ type: 'warning', code: 'VB_COMMIT_INCOMPLETE', message: 'something odd' });
    await this.during(job);
    job.signal?.throwIfAborted();
    if (this.faults.has(job.selector)) throw this.faults.get(job.selector);
    onEvent({ type: 'disk-done', disk, read: size, data: size / 2, stored: size / 4, elapsedMs: 4000 });
    return { manifest, elapsedMs: 4000, warnings: [] };
  };

  #audit(disk: string, { shares, onEvent }: { readonly shares: number; readonly onEvent: OnEvent }): void {
    const planned = 1024 ** 2;
    onEvent({ type: 'audit-start', disk, share: 0, shares, planned });
    this.#clock.time += 1000;
    onEvent({ type: 'progress', disk, done: planned / 2, planned });
    onEvent({ type: 'audit-done', disk, length: planned, difference: null, elapsedMs: 2000 });
  }

  readonly runRestore = async (job: RestoreJob): Promise<RestoreSummary> => {
    await job.openTarget({ size: 1, data: [], label: job.disk });
    return { disk: job.disk, size: 1024, written: 512, elapsedMs: 10 };
  };

  readonly runRestoreInPlace: Work['runRestoreInPlace'] = ({ disk, onEvent }) => {
    onEvent?.({ type: 'disk-done', disk, read: 1024, data: 256, stored: 256, elapsedMs: 10 });
    return Promise.resolve({ disk, size: 1024, written: 256, elapsedMs: 10 });
  };

  readonly runVerify = (job: VerifyJob): Promise<VerifySummary> => {
    const checked = (job.backups ?? this.backups).map((manifest) => ({
      manifest,
      damage: this.damage.get(manifest.id) ?? [],
    }));
    return Promise.resolve({ checked, damage: this.damage.get('general') ?? [], elapsedMs: 1 });
  };

  readonly findBackup: Work['findBackup'] = (catalogue, reference) => {
    const found = catalogue.backups.find(({ id }) => id.startsWith(reference));
    if (found === undefined) throw new VBackupError('VB_GUEST_NOT_FOUND', `no backup ${reference}`);
    return { manifest: found };
  };

  readonly openFileTarget: Work['openFileTarget'] = (path, { force }) => this.#target(`${path}${force ? '!' : ''}`);
  readonly openQcow2Target: Work['openQcow2Target'] = (path, { force, like }) =>
    this.#target(`${path}${force === true ? '!' : ''} ${like?.clusterSize ?? 'as usual'}`);
  readonly savedImages: Work['savedImages'] = () => Promise.resolve(this.images);
  readonly readConfiguration: Work['readConfiguration'] = () => Promise.resolve([]);
  readonly openNbdTarget: Work['openNbdTarget'] = (uri) => this.#target(uri);

  #target(target: string): OpenTarget {
    return ({ label }) => {
      this.restored.push({ disk: label, target });
      return Promise.resolve({
        size: 1,
        limits: { alignment: 1, maximumRequest: 1, maximumInFlight: 1 },
        zeroed: true,
        write: unused,
        zero: unused,
        finish: unused,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      });
    };
  }
}
