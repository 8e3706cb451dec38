export { deviceOf, LabDomain, until } from './domain.js';
export type { LabDisk, LabDiskOptions, LabDomainOptions } from './domain-xml.js';
export { type BuiltGuest, guestImage } from './guest-image.js';
export {
  LIBVIRT_GUEST_TOOLS,
  LIBVIRT_LAB_TOOLS,
  type LibvirtLab,
  type LibvirtLabOptions,
  startLibvirtLab,
} from './lab.js';
export { writePkiFolder } from './pki-folder.js';
export { Qmp } from './qmp.js';
