import {
  type BackupRequest,
  type BlockFacts,
  type CheckpointFacts,
  type DiskError,
  type DomainFacts,
  type FileSystemFacts,
  type JobFacts,
  libvirtError,
} from '../connection/index.js';
import { FakeQemu } from './fake-qemu.js';

/** A domain of {@link FakeLibvirt}; a test may change every field at any time. */
export interface FakeDomain {
  facts: DomainFacts;
  xml: string;
  /** Parents before children. */
  checkpoints: FakeCheckpoint[];
  /** What the running backup job was asked for. */
  job: BackupRequest | null;
  lastJob: JobFacts;
  /** Whether the daemon holds it for a job that it does not know: because the job just begins, or was lost. */
  unknownJob: () => boolean;
  managedSave: boolean;
  /** Null: there is no agent. */
  agent: FakeAgent | null;
  diskErrors: DiskError[];
  blocks: Map<string, BlockFacts>;
  /** What its QEMU has, whatever libvirt knows of it. */
  readonly qemu: FakeQemu;
}

export interface FakeCheckpoint extends CheckpointFacts {
  readonly xml: string;
}

export interface FakeAgent {
  answers: boolean;
  frozen: boolean;
  timeoutSeconds: number | null;
  fileSystems: FileSystemFacts[];
}

export const NO_JOB: JobFacts = {
  state: 'none',
  operation: 'unknown',
  success: null,
  message: null,
  scratchUsed: null,
  scratchTotal: null,
};

/** How libvirt numbers what it refuses. */
export const ERRORS = {
  noDomain: 42,
  invalid: 55,
  busy: 68,
  noAgent: 74,
  unsupported: 84,
  agent: 86,
  noCheckpoint: 103,
} as const;

export function newFakeDomain(facts: Partial<DomainFacts> & { readonly uuid: string }, xml: string): FakeDomain {
  return {
    facts: {
      name: 'web',
      state: 'running',
      pausedReason: null,
      startFailed: false,
      active: true,
      persistent: true,
      autostart: false,
      ...facts,
    },
    xml,
    checkpoints: [],
    job: null,
    lastJob: NO_JOB,
    unknownJob: () => false,
    managedSave: false,
    agent: { answers: true, frozen: false, timeoutSeconds: null, fileSystems: [] },
    diskErrors: [],
    blocks: new Map(),
    qemu: new FakeQemu(),
  };
}

/** What libvirt says of a job that it does not know. */
export const UNKNOWN_JOB = { code: 1, domain: 10, message: 'internal error: backup job data missing' };

export const errorOf = (method: string, error: number | Error): Error =>
  typeof error === 'number' ? libvirtError(method, { code: error, domain: 10, message: `fake error ${error}` }) : error;

export function refuse(method: string, code: number): never {
  throw errorOf(method, code);
}

export function mustRun(method: string, domain: FakeDomain): void {
  if (!domain.facts.active) refuse(method, ERRORS.invalid);
}

export function stop(method: string, domain: FakeDomain): void {
  mustRun(method, domain);
  domain.facts = { ...domain.facts, state: 'shut-off', pausedReason: null, active: false };
  domain.job = null;
}

export function agentOf(method: string, domain: FakeDomain): FakeAgent {
  mustRun(method, domain);
  if (domain.facts.state === 'paused' && method !== 'setAgentTimeout') refuse(method, ERRORS.invalid);
  return domain.agent ?? refuse(method, ERRORS.noAgent);
}

export function checkpointOf(method: string, domain: FakeDomain, name: string): FakeCheckpoint {
  return domain.checkpoints.find((checkpoint) => checkpoint.name === name) ?? refuse(method, ERRORS.noCheckpoint);
}

export function addCheckpoint(domain: FakeDomain, xml: string): string {
  const name = nameIn(xml);
  if (domain.checkpoints.some((checkpoint) => checkpoint.name === name)) refuse('createCheckpoint', 9);
  domain.checkpoints.push({ name, parent: domain.checkpoints.at(-1)?.name ?? null, xml });
  return name;
}

export const nameIn = (xml: string): string => /<name>([^<]*)<\/name>/.exec(xml)?.[1] ?? 'unnamed';
