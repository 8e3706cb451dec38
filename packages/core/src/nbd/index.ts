export { type NbdCapabilities, NbdClient, type WriteOptions, type ZeroOptions } from './client.js';
export type * from './connect-options.js';
export type { ListedExport } from './export-list.js';
export { inspectExport, listExports } from './inspect.js';
export type { BlockSizes, ExportInformation } from './negotiation.js';
export type { StatusExtent } from './reply.js';
export * from './server/index.js';
export * from './words.js';
