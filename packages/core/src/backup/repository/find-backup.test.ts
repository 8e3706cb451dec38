import assert from 'node:assert/strict';
import type { Manifest } from '../manifest.js';
import { findBackup } from './find-backup.js';

const manifest = (id: string, time: string, guest = 'web', disk = 'root'): Manifest => ({
  format: 'vbackup-manifest',
  version: 1,
  id,
  time,
  level: 'full',
  parent: null,
  chain: `fake/${guest}/chain`,
  checkpointName: 'virtnbdbackup.0',
  hypervisor: 'fake',
  guest: { id: `guest-${guest}`, name: guest, kind: 'machine' },
  checkpoint: null,
  compression: 'lz4',
  disks: [
    {
      name: 'xvda',
      id: `disk-${guest}`,
      label: disk,
      size: 1,
      level: 'full',
      method: 'all',
      file: 'f',
      index: 'i',
      readLength: 0,
      dataLength: 0,
      storedLength: 0,
    },
  ],
  files: [],
  tool: { name: 'vbackup', version: '0' },
});

const backups = [
  manifest('aa00000000000001', '2026-11-19T10:00:00.500Z'),
  manifest('aa00000000000002', '2026-11-20T10:00:00.000Z'),
  manifest('bb00000000000003', '2026-11-20T11:00:00.000Z', 'db', 'data'),
];
const idOf = (reference: string): string => findBackup({ backups, damaged: [] }, reference).manifest.id.slice(-1);

describe('findBackup', () => {
  it('takes an id, and a prefix that only one has', () => {
    assert.equal(idOf('aa00000000000001'), '1');
    assert.equal(idOf('bb'), '3');
    assert.equal(idOf('BB'), '3');
    assert.throws(() => idOf('aa'), { code: 'VB_BACKUP_AMBIGUOUS', message: /aa00000000000001, aa00000000000002/ });
    assert.throws(() => idOf('cc'), { code: 'VB_BACKUP_NOT_FOUND' });
    assert.throws(() => idOf(''), { code: 'VB_BACKUP_NOT_FOUND' });
  });

  it('takes the newest of a guest or a disk, by id, name or label', () => {
    for (const word of ['guest-web', 'web', 'disk-web', 'root']) assert.equal(idOf(`${word}@latest`), '2');
    assert.equal(findBackup({ backups, damaged: [] }, 'data@latest').disk, 'xvda');
    assert.equal(findBackup({ backups, damaged: [] }, 'db@latest').disk, undefined);
    assert.throws(() => idOf('xvda@latest'), {
      code: 'VB_BACKUP_AMBIGUOUS',
      message: /root of web .*data of db/,
      cure: /vbackup list/,
    });
    assert.throws(() => idOf('mail@latest'), { code: 'VB_BACKUP_NOT_FOUND' });
  });

  it('says what to write where a disk or a guest is named alone', () => {
    for (const word of ['db', 'disk-db', 'data']) {
      assert.throws(() => idOf(word), { code: 'VB_BACKUP_NOT_FOUND', cure: new RegExp(`write ${word}@latest`) });
    }
  });

  it('takes the newest at or before a time', () => {
    assert.equal(idOf('web@2026-11-20T10:00:00Z'), '2');
    assert.equal(idOf('web@2026-11-20T09:59:59Z'), '1');
    assert.equal(idOf('web@2026-11-19T10:00Z'), '1');
    assert.equal(idOf('web@2026-11-20T12:00:00+02:00'), '2');
    assert.equal(idOf('web@2026-11-22'), '2');
    assert.throws(() => idOf('web@2026-11-01'), { code: 'VB_BACKUP_NOT_FOUND' });
    for (const wrong of ['yesterday', '2026-13-01', '20261120', '']) {
      assert.throws(() => idOf(`web@${wrong}`), { code: 'VB_INVALID_ARGUMENT' });
    }
  });

  it('takes a time without a zone as local, and a date as its whole day', () => {
    const local = new Date(2026, 10, 21, 23, 59, 58);
    const late = [...backups, manifest('cc00000000000004', local.toISOString())];
    assert.equal(findBackup({ backups: late, damaged: [] }, 'web@2026-11-21').manifest.id, 'cc00000000000004');
    assert.equal(findBackup({ backups: late, damaged: [] }, 'web@2026-11-21T23:59:58').manifest.id, 'cc00000000000004');
    assert.equal(findBackup({ backups: late, damaged: [] }, 'web@2026-11-21T23:59:57').manifest.id, 'aa00000000000002');
  });
});
