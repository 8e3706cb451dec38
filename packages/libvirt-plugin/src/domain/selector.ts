import { VBackupError } from '@vbackup/core/errors';

/** One way to understand a selector. */
export interface DomainQuestion {
  readonly by: 'name' | 'uuid';
  readonly value: string;
  /** The target name of the only disk that is meant; null for all. */
  readonly disk: string | null;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Target names: `vda`, `sdaa`, `hdc`, `nvme0n1`, `mmcblk0`. */
const TARGET = /^[a-z][a-z0-9]{1,31}$/;

/**
 * `<domain>`, `<uuid>`, `<domain>:<disk>`, `<uuid>:<disk>`. A name may hold a colon, so the whole text is asked for as a
 * name first, and only then as a name and a disk, cut at the last colon. Who means the disk where both exist writes the uuid.
 * @returns what to ask for, in this order
 * @throws VBackupError VB_LIBVIRT_SELECTOR
 */
export function questionsOf(selector: string): readonly DomainQuestion[] {
  if (selector.trim() === '') throw invalid(selector, 'it is empty');
  if (selector.includes('/')) throw invalid(selector, 'the name of a domain holds no "/"');
  const colon = selector.lastIndexOf(':');
  const [domain, disk] = [selector.slice(0, Math.max(0, colon)), selector.slice(colon + 1)];
  const whole = domainQuestions(selector, null);
  return domain !== '' && TARGET.test(disk) ? [...whole, ...domainQuestions(domain, disk)] : whole;
}

/** A domain may be called like a uuid; one that has it comes first. */
function domainQuestions(text: string, disk: string | null): readonly DomainQuestion[] {
  const byName = { by: 'name', value: text, disk } as const;
  return UUID.test(text) ? [{ by: 'uuid', value: text.toLowerCase(), disk }, byName] : [byName];
}

const invalid = (selector: string, fault: string): VBackupError =>
  new VBackupError('VB_LIBVIRT_SELECTOR', `${JSON.stringify(selector)} names no domain: ${fault}`, {
    cure: 'give a domain (virsh list --all --name), its uuid, or <domain>:vda for one of its disks',
  });
