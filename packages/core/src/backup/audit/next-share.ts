import type { Manifest } from '../manifest.js';
import type { AuditShare } from './audit-blocks.js';

/**
 * The share that follows the one of the disk's last audit in as many shares. Backups without an audit do not count,
 * whatever their chain: every share gets its turn once in `shares` audits.
 * @param history - every backup of the guest, oldest first
 */
export function nextShare(
  history: readonly Manifest[],
  { diskId, shares }: { readonly diskId: string; readonly shares: number },
): AuditShare {
  const audits = history.flatMap(({ disks }) => disks.filter(({ id }) => id === diskId).map(({ audit }) => audit));
  const last = audits.findLast((audit) => audit?.shares === shares);
  return { shares, share: last === undefined ? 0 : (last.share + 1) % shares };
}
