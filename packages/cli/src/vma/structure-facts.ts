import type { VmaDamage, VmaReport } from '@vbackup/core';
import type { VmaDamageFacts, VmaStructure } from '../output/vma-events.js';

/** VMA_CLUSTER_LENGTH, without loading the core for it. */
const CLUSTER_LENGTH = 65_536;

/** What a verification found, as it is shown. */
export const structureFacts = (report: VmaReport): VmaStructure => ({
  extents: report.extents,
  clustersPerExtent: report.clustersPerExtent,
  clusters: report.devices.map(({ device, clusterCount, full, partial, zero, missing, storedLength, ordered }) => ({
    device: device.name,
    clusters: clusterCount,
    full,
    partial,
    zero,
    missing,
    storedLength,
    ordered,
  })),
  damages: report.damages.map(damageFacts),
  damageCount: report.damageCount,
});

function damageFacts({ code, message, offset, device, clusters }: VmaDamage): VmaDamageFacts {
  const start = (clusters?.first ?? 0) * CLUSTER_LENGTH;
  const end = Math.min((clusters?.end ?? 0) * CLUSTER_LENGTH, device?.size ?? 0);
  const extent = clusters === undefined || end <= start ? null : { offset: start, length: end - start };
  return { code, message, offset, device: device?.name ?? null, extent };
}
