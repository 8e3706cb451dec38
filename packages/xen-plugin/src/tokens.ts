import type { InjectionToken } from 'tsyringe';
import type { NbdOpener } from './nbd-opener.js';
import type { OpenChangeTracker } from './tracker.js';
import type { OpenXapiTransport } from './transport/transport.js';

/** Makes the transport to a host. */
export const OpenXapiTransportToken: InjectionToken<OpenXapiTransport> = Symbol('OpenXapiTransport');
/** Makes what computes the changes of a disk. */
export const OpenChangeTrackerToken: InjectionToken<OpenChangeTracker> = Symbol('OpenChangeTracker');
/** Opens what reads a snapshot. */
export const NbdOpenerToken: InjectionToken<NbdOpener> = Symbol('NbdOpener');
