import type { Manifest, ManifestDisk } from '@vbackup/core';

/** A manifest with believable values; ids are 16 hex digits. */
export function manifestOf(id: string, differences: Partial<Manifest> = {}): Manifest {
  return {
    format: 'vbackup-manifest',
    version: 1,
    id: id.padEnd(16, '0'),
    time: '2026-11-20T12:00:00.000Z',
    level: 'full',
    reason: 'first-backup',
    parent: null,
    chain: 'test/guest-1/2026-11-20T120000Z',
    checkpointName: 'virtnbdbackup.0',
    hypervisor: 'test',
    guest: { id: 'guest-1', name: 'web01', kind: 'machine' },
    checkpoint: { point: 1 },
    compression: 'lz4',
    disks: [diskOf('xvda')],
    files: [{ path: 'xvda.full.data', size: 1234, sha256: 'ab'.repeat(32) }],
    tool: { name: 'vbackup', version: '0.1.0' },
    ...differences,
  };
}

export const diskOf = (name: string): ManifestDisk => ({
  name,
  id: `id-of-${name}`,
  label: `label of ${name}`,
  size: 1024 ** 3,
  level: 'full',
  reason: 'first-backup',
  method: 'all',
  file: `${name}.full.data`,
  index: `.vbackup/${name}.index`,
  readLength: 1024 ** 3,
  dataLength: 300 * 1024 ** 2,
  storedLength: 100 * 1024 ** 2,
});
