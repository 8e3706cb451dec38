import { attributeOf, childOf, parseXml } from './parse.js';

/**
 * Whether the host's libvirt and QEMU can make pull backups: `<backup supported='yes'/>` among the `<features>` of what
 * `domainCapabilities` gives (formatdomaincaps.html, "Features"). What says nothing of it cannot.
 * @throws VBackupError VB_LIBVIRT_XML
 */
export function canBackUp(domainCapabilities: string): boolean {
  const root = parseXml(domainCapabilities, 'domainCapabilities');
  return attributeOf(childOf(root, 'features', 'backup'), 'supported') === 'yes';
}
