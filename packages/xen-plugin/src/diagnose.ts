import type { Diagnosis, WithSignal } from '@vbackup/core';
import * as v from 'valibot';
import { missingOperations } from './busy.js';
import { CBT_OPERATIONS } from './change-tracking.js';
import { messageOf } from './errors.js';
import { HostSchema, NetworkSchema, PbdSchema, PifSchema, SrSchema, tableOf } from './records.js';
import type { XenSession } from './session.js';
import { endpointText } from './transport/endpoint.js';

type Network = v.InferOutput<typeof NetworkSchema>;
type Pif = v.InferOutput<typeof PifSchema>;

const VersionSchema = v.object({
  ...HostSchema.entries,
  software_version: v.optional(v.record(v.string(), v.string()), {}),
});
const PoolSchema = v.object({ restrictions: v.optional(v.record(v.string(), v.string()), {}) });
/** Storage that holds no disks of machines. */
const OTHER_SR_TYPES: readonly string[] = ['iso', 'udev'];

/** The conditions of a backup from this pool, each with its state and cure. Changes nothing. */
export async function* diagnosePool(session: XenSession, options: WithSignal = {}): AsyncGenerator<Diagnosis> {
  yield { name: 'login', state: 'good', detail: `logged in to ${endpointText(session.endpoint)}` };
  yield* guarded('hosts', hosts(session, options));
  yield* guarded('licence', licence(session, options));
  yield* guarded('nbd', nbd(session, options));
  yield* guarded('storage', storage(session, options));
}

/** One question that cannot be answered does not keep the others from being asked. */
async function* guarded(name: string, answers: AsyncIterable<Diagnosis>): AsyncGenerator<Diagnosis> {
  try {
    yield* answers;
  } catch (error) {
    yield { name, state: 'warning', detail: `cannot be asked: ${messageOf(error)}` };
  }
}

async function* hosts(session: XenSession, options: WithSignal): AsyncGenerator<Diagnosis> {
  const table = await session.call(tableOf(VersionSchema), 'host.get_all_records', [], options);
  for (const { name_label, address, software_version: version } of Object.values(table)) {
    const product = `${version['product_brand'] ?? 'host'} ${version['product_version'] ?? ''}`.trim();
    yield { name: `host ${name_label}`, state: 'good', detail: `${product} at ${address}` };
  }
}

async function* licence(session: XenSession, options: WithSignal): AsyncGenerator<Diagnosis> {
  const pools = Object.values(await session.call(tableOf(PoolSchema), 'pool.get_all_records', [], options));
  const restricted = pools.some(({ restrictions }) => restrictions['restrict_cbt'] === 'true');
  const cure = 'without it, vbackup makes full backups only, except of disks that are tracked already';
  yield restricted
    ? { name: 'licence', state: 'warning', detail: 'changed block tracking (CBT) is not licensed', cure }
    : { name: 'licence', state: 'good', detail: 'changed block tracking (CBT) is not restricted' };
}

async function* nbd(session: XenSession, options: WithSignal): AsyncGenerator<Diagnosis> {
  const networks = await session.call(tableOf(NetworkSchema), 'network.get_all_records', [], options);
  const pifs = Object.values(await session.call(tableOf(PifSchema), 'PIF.get_all_records', [], options));
  const purposed = Object.entries(networks).filter(([, network]) => purposeOf(network) !== null);
  if (purposed.length === 0) {
    const cure = 'xe network-param-add param-name=purpose param-key=nbd uuid=<network>';
    yield { name: 'nbd', state: 'bad', detail: 'no network of the pool has the purpose nbd', cure };
  }
  for (const [reference, network] of purposed)
    yield networkDiagnosis(
      network,
      pifs.filter((pif) => pif.network === reference),
    );
}

function purposeOf({ purpose }: Network): 'nbd' | 'insecure_nbd' | null {
  if (purpose.includes('nbd')) return 'nbd';
  return purpose.includes('insecure_nbd') ? 'insecure_nbd' : null;
}

function networkDiagnosis(network: Network, pifs: readonly Pif[]): Diagnosis {
  const name = `nbd on ${network.name_label}`;
  const addressed = pifs.filter((pif) => pif.currently_attached && (pif.IP !== '' || pif.IPv6.length > 0));
  if (addressed.length === 0) {
    const cure = 'plug an interface of each host on it (xe pif-plug) and give it an address (xe pif-reconfigure-ip)';
    return { name, state: 'bad', detail: 'no host has an attached interface (PIF) with an address on it', cure };
  }
  if (purposeOf(network) === 'insecure_nbd') {
    const cure = 'set the purpose nbd in place of insecure_nbd, on every network of the pool';
    return { name, state: 'warning', detail: 'disks are offered without TLS', cure };
  }
  return { name, state: 'good', detail: `${addressed.length} interface(s) with an address, TLS` };
}

async function* storage(session: XenSession, options: WithSignal): AsyncGenerator<Diagnosis> {
  const srs = Object.entries(await session.call(tableOf(SrSchema), 'SR.get_all_records', [], options));
  const pbds = Object.values(await session.call(tableOf(PbdSchema), 'PBD.get_all_records', [], options));
  for (const [reference, sr] of srs) {
    if (OTHER_SR_TYPES.includes(sr.type)) continue;
    const name = `storage ${sr.name_label}`;
    const attached = pbds.some((pbd) => pbd.SR === reference && pbd.currently_attached);
    const missing = missingOperations(sr, CBT_OPERATIONS);
    if (!attached) {
      const cure = `xe pbd-plug, for the PBDs of ${sr.uuid}`;
      yield { name, state: 'bad', detail: 'not attached to any host (PBD)', cure };
    } else if (missing.length > 0) {
      const cure = 'its disks are backed up in full each time; move them to storage that tracks changes';
      yield { name, state: 'warning', detail: `${sr.type} does not offer ${missing.join(', ')}`, cure };
    } else {
      yield { name, state: 'good', detail: `${sr.type}, tracks changes` };
    }
  }
}
