import assert from 'node:assert/strict';
import type { DiskSource } from './disk-source.js';
import { exportNames } from './export-names.js';

describe('exportNames', () => {
  const source = (name: string, id: string, disks: readonly string[]): DiskSource => ({
    name,
    id,
    identity: `backup ${id}`,
    disks: disks.map((disk) => ({ name: disk, description: '', open: () => assert.fail('nothing is opened yet') })),
    [Symbol.asyncDispose]: async () => {},
  });
  const namesOf = (...sources: readonly DiskSource[]): string[] => exportNames(sources).map(({ name }) => name);

  it('calls the disks of the only source by their own names', () => {
    assert.deepEqual(namesOf(source('web', 'a1', ['vda', 'vdb'])), ['vda', 'vdb']);
  });

  it('puts the source in front where there are several', () => {
    assert.deepEqual(
      namesOf(source('web', 'a1', ['vda']), source('db', 'b1', ['vda']), source('x.raw', '', ['x.raw'])),
      ['web/vda', 'db/vda', 'x.raw'],
    );
  });

  it('tells two backups of one guest apart', () => {
    assert.deepEqual(namesOf(source('web', 'a1', ['vda']), source('web', 'a2', ['vda'])), ['web/vda@a1', 'web/vda@a2']);
  });

  it('finds what was written to a disk again, however it is shown', () => {
    const [alone] = exportNames([source('web', 'a1', ['vda'])]);
    const [, among] = exportNames([source('db', 'b1', ['vda']), source('web', 'a1', ['vda'])]);
    assert.deepEqual(alone?.overlay, { identity: 'backup a1', name: 'web.vda' });
    assert.deepEqual(among?.overlay, alone?.overlay);
    assert.equal(exportNames([source('x.raw', '', ['x.raw'])])[0]?.overlay.name, 'x.raw');
  });

  it('refuses two disks that would be one export', () => {
    assert.throws(() => namesOf(source('x.raw', '', ['x.raw']), source('x.raw', '', ['x.raw'])), {
      code: 'VB_INVALID_ARGUMENT',
    });
  });
});
