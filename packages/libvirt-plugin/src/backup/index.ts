export type { ExportOpener, JobExport, LibvirtContext } from './context.js';
export { LibvirtHypervisor } from './hypervisor.js';
export { LibvirtLink } from './link.js';
export { type ImageServer, type ImageTools, qemuImageTools, type ServeRequest } from './offline/image-tools.js';
export { ExportOpenerToken, ImageToolsToken } from './tokens.js';
