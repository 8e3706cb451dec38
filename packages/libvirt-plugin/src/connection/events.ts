import type { JobFacts } from './facts.js';

/** virDomainEventType. */
export const LIFECYCLE_EVENTS = [
  'defined',
  'undefined',
  'started',
  'suspended',
  'resumed',
  'stopped',
  'shutdown',
  'pm-suspended',
  'crashed',
] as const;
export type LifecycleChange = (typeof LIFECYCLE_EVENTS)[number] | 'unknown';

/** What libvirt reports by itself. `domain` is a uuid, `name` its name at that time. */
export type LibvirtEvent = LifecycleEvent | JobCompletedEvent | IoErrorEvent | AgentEvent;

export interface LifecycleEvent {
  readonly kind: 'lifecycle';
  readonly domain: string;
  readonly name: string;
  readonly change: LifecycleChange;
  /** The number that goes with `change`: virDomainEventSuspendedDetailType, …StoppedDetailType and so on. */
  readonly detail: number;
  /** The guest was paused because the host could not write (`suspended`, detail 2). */
  readonly ioError: boolean;
}

/** A pull backup that is ended by abortJob says success here, with the message `Operation canceled`. */
export interface JobCompletedEvent {
  readonly kind: 'job-completed';
  readonly domain: string;
  readonly name: string;
  readonly job: JobFacts;
}

export interface IoErrorEvent {
  readonly kind: 'io-error';
  readonly domain: string;
  readonly name: string;
  /** Of the image. libvirt 9 leaves it and the alias empty when it was the scratch file of a backup that was full. */
  readonly path: string;
  /** The device's alias, e.g. `virtio-disk0`. */
  readonly alias: string;
  readonly action: 'none' | 'pause' | 'report' | 'unknown';
  /** `enospc` where the host has no space left. May be empty. */
  readonly reason: string;
}

/** The guest's agent came or went. */
export interface AgentEvent {
  readonly kind: 'agent';
  readonly domain: string;
  readonly name: string;
  readonly connected: boolean;
}
