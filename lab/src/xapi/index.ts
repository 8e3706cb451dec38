export { type CallFault, cutAfterReads, type Faults, type NbdFaults, type TaskFault } from './faults.js';
export { type DiskOptions, type PoolMember, startXapiHost, type XapiHost, type XapiHostOptions } from './host.js';
export type { MachineOptions, SrOptions } from './inventory.js';
export type { Leftovers } from './leftovers.js';
export type { XenStruct, XenValue } from './rpc/value.js';
