import { VBackupError } from '@vbackup/core';
import {
  type BackupRequest,
  type BlockFacts,
  type CheckpointFacts,
  type CreateCheckpointOptions,
  type DiskError,
  type DomainFacts,
  type DomainSelector,
  type DomainUuid,
  type FileSystemFacts,
  type FreezeOptions,
  type HostFacts,
  type JobFacts,
  type JobOptions,
  type LibvirtConnection,
  type LibvirtEvent,
  libvirtError,
  type MonitorRequest,
  type UndefineOptions,
} from '../connection/index.js';
import {
  addCheckpoint,
  agentOf,
  checkpointOf,
  ERRORS,
  errorOf,
  type FakeDomain,
  mustRun,
  NO_JOB,
  nameIn,
  newFakeDomain,
  refuse,
  stop,
  UNKNOWN_JOB,
} from './fake-domain.js';

/** The calls that can be made to fail. */
type Method = Extract<keyof LibvirtConnection, string>;

/** Stands for the domain of calls that are about none. */
const NOBODY = newFakeDomain({ uuid: '' }, '');

interface Fault {
  readonly error: number | Error;
  readonly after: boolean;
}

/**
 * A libvirt in memory, with the answers and refusals of libvirt 9. It knows names and states, not blocks: XML is kept as it
 * is given, and the name of a checkpoint is read from it.
 */
export class FakeLibvirt implements LibvirtConnection {
  readonly domains: FakeDomain[] = [];
  /** The calls that were made, in order: `beginBackup <name of the domain>`. */
  readonly calls: string[] = [];
  hostFacts: HostFacts = {
    hostname: 'fake',
    uri: 'qemu:///system',
    driver: 'QEMU',
    libraryVersion: 9_000_000,
    daemonVersion: 9_000_000,
    hypervisorVersion: 7_002_000,
  };
  capabilities = "<domainCapabilities><features><backup supported='yes'/></features></domainCapabilities>";
  readonly #over = new AbortController();
  readonly #listeners = new Set<(event: LibvirtEvent) => void>();
  readonly #faults = new Map<string, Fault[]>();

  addDomain(facts: Partial<DomainFacts> = {}, xml = '<domain/>'): FakeDomain {
    const number = String(this.domains.length + 1).padStart(12, '0');
    const domain = newFakeDomain({ uuid: `00000000-0000-4000-8000-${number}`, ...facts }, xml);
    this.domains.push(domain);
    return domain;
  }

  /** The next call of `method` throws this: a number of libvirt's, or an error. With `after`, its work is done first. */
  fail(method: Method, error: number | Error, options: { readonly after?: boolean } = {}): void {
    const faults = this.#faults.get(method) ?? [];
    this.#faults.set(method, [...faults, { error, after: options.after ?? false }]);
  }

  emit(event: LibvirtEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** The connection is lost: every later call throws. */
  lose(): void {
    this.#over.abort(new VBackupError('VB_LIBVIRT_CLOSED', 'the connection to libvirt is lost'));
  }

  get lost(): AbortSignal {
    return this.#over.signal;
  }

  onEvent(listener: (event: LibvirtEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  host(): Promise<HostFacts> {
    return this.#call('host', null, () => this.hostFacts);
  }

  domainCapabilities(): Promise<string> {
    return this.#call('domainCapabilities', null, () => this.capabilities);
  }

  listDomains(): Promise<readonly DomainFacts[]> {
    return this.#call('listDomains', null, () => this.domains.map(({ facts }) => facts));
  }

  findDomain(selector: DomainSelector): Promise<DomainFacts> {
    return this.#call('findDomain', null, () => {
      const found = this.domains.find(({ facts }) =>
        'name' in selector ? facts.name === selector.name : facts.uuid === selector.uuid,
      );
      return (found ?? refuse('findDomain', ERRORS.noDomain)).facts;
    });
  }

  domainXml(domain: DomainUuid): Promise<string> {
    return this.#call('domainXml', domain, ({ xml }) => xml);
  }

  defineDomain(xml: string): Promise<DomainFacts> {
    return this.#call('defineDomain', null, () => {
      const facts = { name: nameIn(xml), state: 'shut-off', active: false } as const;
      const uuid = /<uuid>([^<]+)<\/uuid>/.exec(xml)?.[1];
      const before = this.domains.find((domain) => domain.facts.uuid === uuid);
      if (before === undefined) return this.addDomain(uuid === undefined ? facts : { ...facts, uuid }, xml).facts;
      before.xml = xml;
      return before.facts;
    });
  }

  createTransientDomain(xml: string): Promise<DomainFacts> {
    return this.#call('createTransientDomain', null, () => {
      return this.addDomain({ name: nameIn(xml), persistent: false }, xml).facts;
    });
  }

  undefineDomain(domain: DomainUuid, options: UndefineOptions = {}): Promise<void> {
    return this.#call('undefineDomain', domain, (each) => {
      const kept = each.checkpoints.length > 0 && options.checkpointsMetadata !== true;
      if (kept && !each.facts.active) refuse('undefineDomain', ERRORS.invalid);
      this.domains.splice(this.domains.indexOf(each), 1);
    });
  }

  startDomain(domain: DomainUuid): Promise<void> {
    return this.#call('startDomain', domain, (each) => {
      if (each.facts.active) refuse('startDomain', ERRORS.invalid);
      each.facts = { ...each.facts, state: 'running', active: true };
    });
  }

  suspendDomain(domain: DomainUuid): Promise<void> {
    return this.#call('suspendDomain', domain, (each) => {
      mustRun('suspendDomain', each);
      each.facts = { ...each.facts, state: 'paused', pausedReason: 'user' };
    });
  }

  resumeDomain(domain: DomainUuid): Promise<void> {
    return this.#call('resumeDomain', domain, (each) => {
      mustRun('resumeDomain', each);
      each.facts = { ...each.facts, state: 'running', pausedReason: null };
    });
  }

  shutdownDomain(domain: DomainUuid): Promise<void> {
    return this.#call('shutdownDomain', domain, (each) => stop('shutdownDomain', each));
  }

  destroyDomain(domain: DomainUuid): Promise<void> {
    return this.#call('destroyDomain', domain, (each) => stop('destroyDomain', each));
  }

  setAutostart(domain: DomainUuid, autostart: boolean): Promise<void> {
    return this.#call('setAutostart', domain, (each) => {
      each.facts = { ...each.facts, autostart };
    });
  }

  hasManagedSave(domain: DomainUuid): Promise<boolean> {
    return this.#call('hasManagedSave', domain, ({ managedSave }) => managedSave);
  }

  blockFacts(domain: DomainUuid, disk: string): Promise<BlockFacts> {
    return this.#call('blockFacts', domain, ({ blocks }) => blocks.get(disk) ?? refuse('blockFacts', 8));
  }

  diskErrors(domain: DomainUuid): Promise<readonly DiskError[]> {
    return this.#call('diskErrors', domain, (each) => each.diskErrors);
  }

  beginBackup(domain: DomainUuid, request: BackupRequest): Promise<void> {
    return this.#call('beginBackup', domain, (each) => {
      if (!each.facts.active) refuse('beginBackup', ERRORS.unsupported);
      if (each.job !== null) refuse('beginBackup', ERRORS.busy);
      if (request.checkpointXml !== undefined) addCheckpoint(each, request.checkpointXml);
      each.job = request;
    });
  }

  backupXml(domain: DomainUuid): Promise<string | null> {
    return this.#call('backupXml', domain, ({ job }) => job?.xml ?? null);
  }

  jobFacts(domain: DomainUuid, options: JobOptions = {}): Promise<JobFacts> {
    return this.#call('jobFacts', domain, ({ job, lastJob, unknownJob }) => {
      if (unknownJob()) throw libvirtError('jobFacts', UNKNOWN_JOB);
      if (options.completed === true) return lastJob;
      return job === null
        ? NO_JOB
        : { ...NO_JOB, state: 'unbounded', operation: 'backup', scratchUsed: 0, scratchTotal: 0 };
    });
  }

  abortJob(domain: DomainUuid): Promise<void> {
    return this.#call('abortJob', domain, (each) => {
      if (each.job === null) refuse('abortJob', ERRORS.invalid);
      each.job = null;
      each.lastJob = {
        ...NO_JOB,
        state: 'completed',
        operation: 'backup',
        success: true,
        message: 'Operation canceled',
      };
      const { uuid, name } = each.facts;
      this.emit({ kind: 'job-completed', domain: uuid, name, job: each.lastJob });
    });
  }

  createCheckpoint(domain: DomainUuid, xml: string, options: CreateCheckpointOptions = {}): Promise<string> {
    return this.#call('createCheckpoint', domain, (each) => {
      if (!each.facts.active && options.redefine !== true) refuse('createCheckpoint', ERRORS.unsupported);
      return addCheckpoint(each, xml);
    });
  }

  listCheckpoints(domain: DomainUuid): Promise<readonly CheckpointFacts[]> {
    return this.#call('listCheckpoints', domain, ({ checkpoints }) =>
      checkpoints.map(({ name, parent }) => ({ name, parent })),
    );
  }

  checkpointXml(domain: DomainUuid, name: string): Promise<string> {
    return this.#call('checkpointXml', domain, (each) => checkpointOf('checkpointXml', each, name).xml);
  }

  deleteCheckpoint(domain: DomainUuid, name: string): Promise<void> {
    return this.#call('deleteCheckpoint', domain, (each) => {
      const gone = checkpointOf('deleteCheckpoint', each, name);
      each.checkpoints = each.checkpoints
        .filter((checkpoint) => checkpoint !== gone)
        .map((checkpoint) => (checkpoint.parent === name ? { ...checkpoint, parent: gone.parent } : checkpoint));
    });
  }

  monitor(domain: DomainUuid, request: MonitorRequest): Promise<string> {
    return this.#call('monitor', domain, (each) => JSON.stringify(each.qemu.execute(request)));
  }

  freeze(domain: DomainUuid, options: FreezeOptions = {}): Promise<number> {
    return this.#call('freeze', domain, (each) => {
      const agent = agentOf('freeze', each);
      // A freeze that was not answered happens when the agent wakes up.
      agent.frozen = true;
      if (!agent.answers) refuse('freeze', ERRORS.agent);
      return options.mountpoints?.length ?? agent.fileSystems.length;
    });
  }

  thaw(domain: DomainUuid): Promise<number> {
    return this.#call('thaw', domain, (each) => {
      const agent = agentOf('thaw', each);
      if (!agent.answers) refuse('thaw', ERRORS.agent);
      const thawed = agent.frozen ? agent.fileSystems.length : 0;
      agent.frozen = false;
      return thawed;
    });
  }

  fileSystems(domain: DomainUuid): Promise<readonly FileSystemFacts[]> {
    return this.#call('fileSystems', domain, (each) => agentOf('fileSystems', each).fileSystems);
  }

  setAgentTimeout(domain: DomainUuid, seconds: number | null): Promise<void> {
    return this.#call('setAgentTimeout', domain, (each) => {
      agentOf('setAgentTimeout', each).timeoutSeconds = seconds;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (!this.lost.aborted) {
      this.#over.abort(new VBackupError('VB_LIBVIRT_CLOSED', 'the connection to libvirt is closed'));
    }
    return Promise.resolve();
  }

  async #call<T>(method: Method, uuid: string | null, work: (domain: FakeDomain) => T): Promise<T> {
    await Promise.resolve();
    if (this.lost.aborted) throw this.lost.reason;
    const domain = this.domains.find(({ facts }) => facts.uuid === uuid);
    this.calls.push(domain === undefined ? method : `${method} ${domain.facts.name}`);
    const fault = this.#faults.get(method)?.shift();
    if (fault?.after === false) throw errorOf(method, fault.error);
    if (uuid !== null && domain === undefined) refuse(method, ERRORS.noDomain);
    const result = work(domain ?? NOBODY);
    if (fault?.after === true) throw errorOf(method, fault.error);
    return result;
  }
}
