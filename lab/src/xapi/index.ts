export { type CallFault, cutAfterReads, type Faults, type NbdFaults, type TaskFault } from './faults.js';
export type { DiskOptions, PoolMember, XapiHost } from './host.js';
export type { MachineOptions, SrOptions } from './inventory.js';
export type { Leftovers } from './leftovers.js';
export type { XenStruct, XenValue } from './rpc/value.js';
export { startXapiHost, type XapiHostOptions } from './start.js';
