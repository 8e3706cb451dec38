import type { WithSignal } from '@vbackup/core';
import type { LibvirtEvent } from './events.js';
import type {
  BlockFacts,
  CheckpointFacts,
  DiskError,
  DomainFacts,
  FileSystemFacts,
  HostFacts,
  JobFacts,
} from './facts.js';
import type { MonitorRequest } from './monitor-commands.js';

/** Which domain: its uuid, 36 lower-case characters with hyphens. It stays the same when the domain is renamed. */
export type DomainUuid = string;

export interface CallOptions extends WithSignal {
  /** How long the call may take once it has begun; default {@link OpenLibvirtOptions.callTimeoutMs}. */
  readonly timeoutMs?: number | undefined;
}

/**
 * A connection to one libvirt daemon.
 *
 * Calls are made one after the other, in the order in which they were asked for. A call whose signal is aborted before
 * its turn is never made; one that is aborted while it runs settles at once, and the daemon finishes it all the same: a
 * later call sees its effect. A call that takes longer than its time ends the connection (VB_LIBVIRT_CALL_TIMEOUT).
 *
 * @throws LibvirtError with the codes of `meaning.ts` for what libvirt refuses; VB_LIBVIRT_CALL_TIMEOUT,
 * VB_LIBVIRT_CRASHED, VB_LIBVIRT_CLOSED from every call
 */
export interface LibvirtConnection extends AsyncDisposable {
  /** Aborted, with its reason, when the connection is lost or closed. Every later call throws that reason. */
  readonly lost: AbortSignal;

  /** Events of all domains of the host, in order, as long as the returned object is not disposed of. */
  onEvent(listener: (event: LibvirtEvent) => void): Disposable;

  host(options?: CallOptions): Promise<HostFacts>;
  /** The XML of `virConnectGetDomainCapabilities`; what a host can do is `<features>` in it. */
  domainCapabilities(options?: CallOptions): Promise<string>;

  /** Running and defined domains, in no order. */
  listDomains(options?: CallOptions): Promise<readonly DomainFacts[]>;
  /** @throws LibvirtError VB_LIBVIRT_NO_DOMAIN */
  findDomain(selector: DomainSelector, options?: CallOptions): Promise<DomainFacts>;
  domainXml(domain: DomainUuid, options?: DomainXmlOptions): Promise<string>;
  /** Makes a domain persistent, or changes its definition. */
  defineDomain(xml: string, options?: CallOptions): Promise<DomainFacts>;
  /** Starts a domain that is forgotten when it stops. */
  createTransientDomain(xml: string, options?: StartOptions): Promise<DomainFacts>;
  undefineDomain(domain: DomainUuid, options?: UndefineOptions): Promise<void>;
  startDomain(domain: DomainUuid, options?: StartOptions): Promise<void>;
  suspendDomain(domain: DomainUuid, options?: CallOptions): Promise<void>;
  resumeDomain(domain: DomainUuid, options?: CallOptions): Promise<void>;
  /** Asks the guest to end; returns before it has. */
  shutdownDomain(domain: DomainUuid, options?: ShutdownOptions): Promise<void>;
  destroyDomain(domain: DomainUuid, options?: DestroyOptions): Promise<void>;
  setAutostart(domain: DomainUuid, autostart: boolean, options?: CallOptions): Promise<void>;
  /** Whether its memory was saved when it was stopped: its next start goes on from there, and needs the disks as they were. */
  hasManagedSave(domain: DomainUuid, options?: CallOptions): Promise<boolean>;

  /** `disk` is a target name (`vda`) or a path. */
  blockFacts(domain: DomainUuid, disk: string, options?: CallOptions): Promise<BlockFacts>;
  /** Disks whose I/O failed. QEMU 7.2 goes on saying so after the guest was resumed: the state tells whether it is paused. */
  diskErrors(domain: DomainUuid, options?: CallOptions): Promise<readonly DiskError[]>;

  /**
   * Starts a backup job, and with `checkpointXml` makes a checkpoint at the same instant. While another job runs, libvirt 9
   * blocks for 30 s and then answers VB_LIBVIRT_BUSY: ask {@link jobFacts} first.
   */
  beginBackup(domain: DomainUuid, request: BackupRequest, options?: CallOptions): Promise<void>;
  /** What the running backup job exports and where its scratch files are; null if none runs. */
  backupXml(domain: DomainUuid, options?: CallOptions): Promise<string | null>;
  /** Of the running job, or of the last one (`completed`). */
  jobFacts(domain: DomainUuid, options?: JobOptions): Promise<JobFacts>;
  /** The normal end of a pull backup, too. @throws LibvirtError VB_LIBVIRT_INVALID_STATE if no job runs */
  abortJob(domain: DomainUuid, options?: CallOptions): Promise<void>;

  /** @returns the name of the checkpoint */
  createCheckpoint(domain: DomainUuid, xml: string, options?: CreateCheckpointOptions): Promise<string>;
  /** Parents before their children. */
  listCheckpoints(domain: DomainUuid, options?: CallOptions): Promise<readonly CheckpointFacts[]>;
  /** @throws LibvirtError VB_LIBVIRT_NO_CHECKPOINT */
  checkpointXml(domain: DomainUuid, name: string, options?: CheckpointXmlOptions): Promise<string>;
  deleteCheckpoint(domain: DomainUuid, name: string, options?: DeleteCheckpointOptions): Promise<void>;

  /**
   * Hands a command to the domain's QEMU past libvirt, which marks the domain as tainted (`custom-monitor`).
   * @returns QEMU's answer, JSON with `return` or `error`
   * @throws VBackupError VB_LIBVIRT_LIBRARY_MISSING
   */
  monitor(domain: DomainUuid, request: MonitorRequest, options?: CallOptions): Promise<string>;

  /**
   * Freezes the guest's file systems through its agent. A freeze that failed may still happen when the agent wakes up:
   * thaw after it, until a thaw succeeds.
   * @returns how many file systems are frozen
   * @throws LibvirtError VB_LIBVIRT_NO_AGENT, VB_LIBVIRT_AGENT_UNRESPONSIVE
   */
  freeze(domain: DomainUuid, options?: FreezeOptions): Promise<number>;
  /** @returns how many file systems were thawed */
  thaw(domain: DomainUuid, options?: CallOptions): Promise<number>;
  /** The guest's mounted file systems, as its agent knows them. */
  fileSystems(domain: DomainUuid, options?: CallOptions): Promise<readonly FileSystemFacts[]>;
  /** How long the daemon waits for an answer of the agent, until the domain stops; `null` for ever, as it does by itself. */
  setAgentTimeout(domain: DomainUuid, seconds: number | null, options?: CallOptions): Promise<void>;
}

export type DomainSelector = { readonly name: string } | { readonly uuid: DomainUuid };

export interface DomainXmlOptions extends CallOptions {
  /** The definition, instead of what runs. */
  readonly inactive?: boolean | undefined;
  /** With passwords; needs more than a read-only connection. */
  readonly secure?: boolean | undefined;
}

export interface StartOptions extends CallOptions {
  readonly paused?: boolean | undefined;
}

export interface UndefineOptions extends CallOptions {
  /** Without it a domain with checkpoints cannot be undefined. The bitmaps stay in the images. */
  readonly checkpointsMetadata?: boolean | undefined;
  readonly managedSave?: boolean | undefined;
  /** What happens to the file of the UEFI variables; a domain that has one needs a choice. */
  readonly nvram?: 'remove' | 'keep' | undefined;
}

export interface ShutdownOptions extends CallOptions {
  readonly mode?: 'acpi' | 'agent' | undefined;
}

export interface DestroyOptions extends CallOptions {
  /** SIGTERM only: bitmaps are written to the images. */
  readonly graceful?: boolean | undefined;
}

export interface BackupRequest {
  /** `<domainbackup>`. */
  readonly xml: string;
  /** `<domaincheckpoint>`. */
  readonly checkpointXml?: string | undefined;
  /** The scratch files exist already. */
  readonly reuseExternal?: boolean | undefined;
}

export interface JobOptions extends CallOptions {
  readonly completed?: boolean | undefined;
}

export interface CreateCheckpointOptions extends CallOptions {
  /** Only the metadata: the bitmaps are in the images already. */
  readonly redefine?: boolean | undefined;
  /** With `redefine`, on a running domain: the bitmaps must be there and whole. */
  readonly validate?: boolean | undefined;
}

export interface CheckpointXmlOptions extends CallOptions {
  /** With `size` per disk: the bytes written since. Only while the domain runs. */
  readonly size?: boolean | undefined;
  /** Without the domain's definition at that time. */
  readonly withoutDomain?: boolean | undefined;
}

export interface DeleteCheckpointOptions extends CallOptions {
  /** The bitmaps stay in the images. */
  readonly metadataOnly?: boolean | undefined;
}

export interface FreezeOptions extends CallOptions {
  /** Default: all. */
  readonly mountpoints?: readonly string[] | undefined;
}

export interface OpenLibvirtOptions extends WithSignal {
  /** As virsh takes it; empty for libvirt's own default. */
  readonly uri: string;
  /** Nothing can be changed over this connection, and no backup made. */
  readonly readOnly?: boolean | undefined;
  /** For SASL, when the daemon asks. */
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** How long it may take to connect. Default 30,000. */
  readonly openTimeoutMs?: number | undefined;
  /** How long a call may take. Default 60,000. */
  readonly callTimeoutMs?: number | undefined;
}

/**
 * Connects to a libvirt daemon.
 * @throws VBackupError VB_LIBVIRT_LIBRARY_MISSING; LibvirtError VB_LIBVIRT_CONNECT, VB_LIBVIRT_AUTHENTICATION,
 * VB_LIBVIRT_TLS, VB_LIBVIRT_CALL_TIMEOUT
 */
export type OpenLibvirt = (options: OpenLibvirtOptions) => Promise<LibvirtConnection>;
