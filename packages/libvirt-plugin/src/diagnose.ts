import type { Diagnosis, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { isLibvirtError, type LibvirtConnection, type Version } from './connection/index.js';
import { canBackUp } from './xml/domain-capabilities.js';

/** Since 7.6 libvirt makes checkpoints with a QEMU that needs no experimental switch. */
const OLDEST_LIBVIRT: Version = 7_006_000;
const OLDEST_QEMU: Version = 6_000_000;

/** The conditions of a backup from this host, each with its state and cure. Changes nothing. */
export async function* diagnoseHost(libvirt: LibvirtConnection, options: WithSignal = {}): AsyncGenerator<Diagnosis> {
  yield* guarded('host', host(libvirt, options));
  yield* guarded('backup', backup(libvirt, options));
  yield* guarded('domains', domains(libvirt, options));
}

/** One question that cannot be answered does not keep the others from being asked. */
async function* guarded(name: string, answers: AsyncIterable<Diagnosis>): AsyncGenerator<Diagnosis> {
  try {
    yield* answers;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const cure = error instanceof VBackupError ? error.cure : undefined;
    yield { name, state: 'bad', detail: message, cure };
  }
}

async function* host(libvirt: LibvirtConnection, options: WithSignal): AsyncGenerator<Diagnosis> {
  const { hostname, driver, daemonVersion, libraryVersion, hypervisorVersion } = await libvirt.host(options);
  const detail = `${hostname}: libvirt ${words(daemonVersion)}, ${driver} ${words(hypervisorVersion)}`;
  if (driver !== 'QEMU') {
    const cure = 'give the URI of QEMU, such as qemu:///system';
    yield { name: 'host', state: 'bad', detail: `${detail}: only QEMU can be backed up`, cure };
    return;
  }
  const old = daemonVersion < OLDEST_LIBVIRT || hypervisorVersion < OLDEST_QEMU || libraryVersion < OLDEST_LIBVIRT;
  const needed = `libvirt ${words(OLDEST_LIBVIRT)} and QEMU ${words(OLDEST_QEMU)} are the oldest that can make increments`;
  yield old
    ? { name: 'host', state: 'bad', detail: `${detail} (here: ${words(libraryVersion)})`, cure: needed }
    : { name: 'host', state: 'good', detail };
}

async function* backup(libvirt: LibvirtConnection, options: WithSignal): AsyncGenerator<Diagnosis> {
  const able = canBackUp(await libvirt.domainCapabilities(options));
  yield able
    ? { name: 'backup', state: 'good', detail: 'QEMU on this host can make backup jobs with checkpoints' }
    : {
        name: 'backup',
        state: 'bad',
        detail: 'libvirt says that QEMU on this host cannot make backup jobs',
        cure: 'virsh domcapabilities must contain <backup supported="yes"/>: update libvirt and QEMU',
      };
}

async function* domains(libvirt: LibvirtConnection, options: WithSignal): AsyncGenerator<Diagnosis> {
  const all = await libvirt.listDomains(options);
  const running = all.filter(({ active }) => active).length;
  yield { name: 'domains', state: 'good', detail: `${all.length} domains, ${running} of them running` };
  const [first] = all;
  if (first !== undefined) yield await rights(libvirt, first.uuid, options);
}

/** A definition with its secrets is the one thing that needs all rights and changes nothing. */
async function rights(libvirt: LibvirtConnection, domain: string, options: WithSignal): Promise<Diagnosis> {
  try {
    await libvirt.domainXml(domain, { ...options, secure: true });
    return { name: 'rights', state: 'good', detail: 'domains may be changed over this connection' };
  } catch (error) {
    if (!isLibvirtError(error, 'VB_LIBVIRT_READ_ONLY', 'VB_LIBVIRT_ACCESS_DENIED')) throw error;
    return { name: 'rights', state: 'bad', detail: 'this connection may only look at domains', cure: error.cure };
  }
}

const words = (version: Version): string =>
  [Math.floor(version / 1_000_000), Math.floor(version / 1000) % 1000, version % 1000].join('.');
