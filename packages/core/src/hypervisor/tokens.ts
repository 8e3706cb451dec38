import type { InjectionToken } from 'tsyringe';
import type { HypervisorPlugin as HypervisorPluginContract } from './hypervisor.js';

/** Every registered plugin; resolve with `resolveAll`. */
export const HypervisorPluginToken: InjectionToken<HypervisorPluginContract> = Symbol('HypervisorPlugin');
