import type {
  BackupRequest,
  BlockFacts,
  CallOptions,
  CheckpointFacts,
  CheckpointXmlOptions,
  CreateCheckpointOptions,
  DeleteCheckpointOptions,
  DestroyOptions,
  DiskError,
  DomainFacts,
  DomainSelector,
  DomainUuid,
  DomainXmlOptions,
  FileSystemFacts,
  FreezeOptions,
  HostFacts,
  JobFacts,
  JobOptions,
  LibvirtConnection,
  LibvirtEvent,
  MonitorRequest,
  ShutdownOptions,
  StartOptions,
  UndefineOptions,
} from '../connection/index.js';
import { calls } from '../wire/index.js';
import type { LibvirtProcess } from './libvirt-process.js';

/** {@link LibvirtConnection} over a process of its own. */
export class ChildConnection implements LibvirtConnection {
  readonly #process: LibvirtProcess;

  /** @param process - in which `open` succeeded; it belongs to the connection from now on */
  constructor(process: LibvirtProcess) {
    this.#process = process;
  }

  get lost(): AbortSignal {
    return this.#process.lost;
  }

  onEvent(listener: (event: LibvirtEvent) => void): Disposable {
    return this.#process.onEvent(listener);
  }

  host(options?: CallOptions): Promise<HostFacts> {
    return this.#process.ask(calls.host, {}, options);
  }

  domainCapabilities(options?: CallOptions): Promise<string> {
    return this.#process.ask(calls.domainCapabilities, {}, options);
  }

  listDomains(options?: CallOptions): Promise<readonly DomainFacts[]> {
    return this.#process.ask(calls.listDomains, {}, options);
  }

  findDomain(selector: DomainSelector, options?: CallOptions): Promise<DomainFacts> {
    return this.#process.ask(calls.findDomain, selector, options);
  }

  domainXml(domain: DomainUuid, options: DomainXmlOptions = {}): Promise<string> {
    const { inactive, secure } = options;
    return this.#process.ask(calls.domainXml, { domain, inactive, secure }, options);
  }

  defineDomain(xml: string, options?: CallOptions): Promise<DomainFacts> {
    return this.#process.ask(calls.defineDomain, { xml }, options);
  }

  createTransientDomain(xml: string, options: StartOptions = {}): Promise<DomainFacts> {
    return this.#process.ask(calls.createTransientDomain, { xml, paused: options.paused }, options);
  }

  async undefineDomain(domain: DomainUuid, options: UndefineOptions = {}): Promise<void> {
    const { checkpointsMetadata, managedSave, nvram } = options;
    await this.#process.ask(calls.undefineDomain, { domain, checkpointsMetadata, managedSave, nvram }, options);
  }

  async startDomain(domain: DomainUuid, options: StartOptions = {}): Promise<void> {
    await this.#process.ask(calls.startDomain, { domain, paused: options.paused }, options);
  }

  async suspendDomain(domain: DomainUuid, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.suspendDomain, { domain }, options);
  }

  async resumeDomain(domain: DomainUuid, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.resumeDomain, { domain }, options);
  }

  async shutdownDomain(domain: DomainUuid, options: ShutdownOptions = {}): Promise<void> {
    await this.#process.ask(calls.shutdownDomain, { domain, mode: options.mode }, options);
  }

  async destroyDomain(domain: DomainUuid, options: DestroyOptions = {}): Promise<void> {
    await this.#process.ask(calls.destroyDomain, { domain, graceful: options.graceful }, options);
  }

  async setAutostart(domain: DomainUuid, autostart: boolean, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.setAutostart, { domain, autostart }, options);
  }

  hasManagedSave(domain: DomainUuid, options?: CallOptions): Promise<boolean> {
    return this.#process.ask(calls.hasManagedSave, { domain }, options);
  }

  blockFacts(domain: DomainUuid, disk: string, options?: CallOptions): Promise<BlockFacts> {
    return this.#process.ask(calls.blockFacts, { domain, disk }, options);
  }

  diskErrors(domain: DomainUuid, options?: CallOptions): Promise<readonly DiskError[]> {
    return this.#process.ask(calls.diskErrors, { domain }, options);
  }

  async beginBackup(domain: DomainUuid, request: BackupRequest, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.beginBackup, { domain, ...request }, options);
  }

  backupXml(domain: DomainUuid, options?: CallOptions): Promise<string | null> {
    return this.#process.ask(calls.backupXml, { domain }, options);
  }

  jobFacts(domain: DomainUuid, options: JobOptions = {}): Promise<JobFacts> {
    return this.#process.ask(calls.jobFacts, { domain, completed: options.completed }, options);
  }

  async abortJob(domain: DomainUuid, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.abortJob, { domain }, options);
  }

  createCheckpoint(domain: DomainUuid, xml: string, options: CreateCheckpointOptions = {}): Promise<string> {
    const { redefine, validate } = options;
    return this.#process.ask(calls.createCheckpoint, { domain, xml, redefine, validate }, options);
  }

  listCheckpoints(domain: DomainUuid, options?: CallOptions): Promise<readonly CheckpointFacts[]> {
    return this.#process.ask(calls.listCheckpoints, { domain }, options);
  }

  checkpointXml(domain: DomainUuid, name: string, options: CheckpointXmlOptions = {}): Promise<string> {
    const { size, withoutDomain } = options;
    return this.#process.ask(calls.checkpointXml, { domain, name, size, withoutDomain }, options);
  }

  async deleteCheckpoint(domain: DomainUuid, name: string, options: DeleteCheckpointOptions = {}): Promise<void> {
    await this.#process.ask(calls.deleteCheckpoint, { domain, name, metadataOnly: options.metadataOnly }, options);
  }

  monitor(domain: DomainUuid, { execute, values = {} }: MonitorRequest, options?: CallOptions): Promise<string> {
    return this.#process.ask(calls.monitor, { domain, execute, values: { ...values } }, options);
  }

  freeze(domain: DomainUuid, options: FreezeOptions = {}): Promise<number> {
    const mountpoints = options.mountpoints === undefined ? undefined : [...options.mountpoints];
    return this.#process.ask(calls.freeze, { domain, mountpoints }, options);
  }

  thaw(domain: DomainUuid, options?: CallOptions): Promise<number> {
    return this.#process.ask(calls.thaw, { domain }, options);
  }

  fileSystems(domain: DomainUuid, options?: CallOptions): Promise<readonly FileSystemFacts[]> {
    return this.#process.ask(calls.fileSystems, { domain }, options);
  }

  async setAgentTimeout(domain: DomainUuid, seconds: number | null, options?: CallOptions): Promise<void> {
    await this.#process.ask(calls.setAgentTimeout, { domain, seconds }, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
  }
}
