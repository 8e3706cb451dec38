import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import { isApiError } from './errors.js';
import type { LiveDisk } from './live-disk.js';
import { type NbdInfo, NbdInfoSchema, NetworkSchema, PbdSchema, PifSchema, type SrRecord, tableOf } from './records.js';
import type { XenSession } from './session.js';

const NBD_PURPOSES: readonly string[] = ['nbd', 'insecure_nbd'];

/** The ways to a disk over NBD: one per host, interface and address. May be empty. */
export async function nbdRecords(
  session: XenSession,
  disk: string,
  options: WithSignal = {},
): Promise<readonly NbdInfo[]> {
  return session.call(v.array(NbdInfoSchema), 'VDI.get_nbd_info', [disk], options);
}

/**
 * Whether the pool's NBD servers speak TLS, or refuse it. They go by the purposes of the networks, which exclude each
 * other in a pool (xapi-nbd, main.ml); the records hold a certificate either way.
 */
export async function nbdEncryption(session: XenSession, options: WithSignal = {}): Promise<'tls' | 'none'> {
  const networks = await session.call(tableOf(NetworkSchema), 'network.get_all_records', [], options);
  const purposes = Object.values(networks).flatMap(({ purpose }) => purpose);
  return purposes.includes('insecure_nbd') && !purposes.includes('nbd') ? 'none' : 'tls';
}

export interface NbdRequirement extends WithSignal {
  readonly allowInsecure: boolean;
}

/**
 * Makes sure that a disk can be read over NBD, before anything is done to it.
 * @throws VBackupError VB_XEN_NBD_UNAVAILABLE that names the missing condition, VB_XEN_NBD_INSECURE
 */
export async function requireNbd(session: XenSession, disk: LiveDisk, options: NbdRequirement): Promise<void> {
  const explanation = await obstacleOf(session, disk, options);
  if (explanation === null) {
    if (!options.allowInsecure && (await nbdEncryption(session, options)) === 'none') throw insecureNbd();
    return;
  }
  const { detail, cure } = explanation;
  throw new VBackupError('VB_XEN_NBD_UNAVAILABLE', `disk ${disk.record.uuid} cannot be read over NBD: ${detail}`, {
    cure,
  });
}

/** The pool offers clear text only, and the user did not allow it. */
export function insecureNbd(): VBackupError {
  return new VBackupError('VB_XEN_NBD_INSECURE', 'the pool offers its disks over NBD without TLS only', {
    cure: 'give the network the purpose nbd in place of insecure_nbd, or allow clear text with --xen-insecure-nbd',
  });
}

interface Explanation {
  readonly detail: string;
  readonly cure: string;
}

async function obstacleOf(session: XenSession, disk: LiveDisk, options: WithSignal): Promise<Explanation | null> {
  try {
    const records = await nbdRecords(session, disk.reference, options);
    return records.length > 0 ? null : await explainNoNbd(session, disk.sr, options);
  } catch (error) {
    if (!isApiError(error, 'MESSAGE_METHOD_UNKNOWN')) throw error;
    return { detail: 'the host is older than XenServer 7.3', cure: 'upgrade the pool' };
  }
}

/** Which of the three conditions is missing: a network with the purpose, an address on it, storage that is attached. */
async function explainNoNbd(session: XenSession, sr: SrRecord, options: WithSignal): Promise<Explanation> {
  const networks = await session.call(tableOf(NetworkSchema), 'network.get_all_records', [], options);
  const purposed = Object.entries(networks).filter(([, { purpose }]) => purpose.some((p) => NBD_PURPOSES.includes(p)));
  if (purposed.length === 0) {
    return {
      detail: 'no network of the pool has the purpose nbd',
      cure: 'allow NBD on one network: xe network-param-add param-name=purpose param-key=nbd uuid=<network>',
    };
  }
  const pbds = Object.values(await session.call(tableOf(PbdSchema), 'PBD.get_all_records', [], options));
  const srReference = await session.call(v.string(), 'SR.get_by_uuid', [sr.uuid], options);
  const hosts = pbds.filter((pbd) => pbd.SR === srReference && pbd.currently_attached).map(({ host }) => host);
  if (hosts.length === 0) {
    return {
      detail: `storage repository ${sr.name_label} is not attached to any host (PBD)`,
      cure: `plug its PBDs: xe pbd-plug uuid=<pbd of ${sr.uuid}>`,
    };
  }
  const names = purposed.map(([, { name_label }]) => name_label).join(', ');
  const pifs = Object.values(await session.call(tableOf(PifSchema), 'PIF.get_all_records', [], options));
  const references = purposed.map(([reference]) => reference);
  const usable = pifs.filter((pif) => references.includes(pif.network) && hosts.includes(pif.host));
  if (!usable.some((pif) => pif.currently_attached)) {
    return {
      detail: `no host that sees the storage has an attached interface (PIF) on the network ${names}`,
      cure: 'plug the interface (xe pif-plug), or allow NBD on a network that the hosts are on',
    };
  }
  return {
    detail: `no interface (PIF) on the network ${names} has an IP address`,
    cure: 'give the hosts an address on that network: xe pif-reconfigure-ip',
  };
}
