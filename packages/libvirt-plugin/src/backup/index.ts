export type { ExportOpener, JobExport, LibvirtContext } from './context.js';
export { LibvirtHypervisor } from './hypervisor.js';
export { LibvirtLink } from './link.js';
export { ExportOpenerToken } from './tokens.js';
