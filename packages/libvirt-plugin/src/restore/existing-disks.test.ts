import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExistingDisksRequest } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { Fixture } from '../testing/fixture.js';

describe('existingDisks', () => {
  let fixture: Fixture;
  let image: string;

  before(function () {
    requireTools(this, ['qemu-nbd']);
  });
  beforeEach(async () => {
    fixture = await Fixture.make();
    image = join(fixture.folder, 'a.raw');
    await writeFile(image, Buffer.alloc(65_536));
    fixture.domain.facts = { ...fixture.domain.facts, state: 'shut-off', active: false };
    fixture.domain.xml = xmlOf(`<source file='${image}'/>`);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const xmlOf = (vda: string): string => `<domain><name>web</name><devices>
    <disk type='file' device='disk'><driver type='raw'/>${vda}<target dev='vda'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/><readonly/></disk>
    </devices></domain>`;
  const find = (
    target: string,
    disks: readonly string[],
    more: Partial<ExistingDisksRequest> & { uri?: string } = {},
  ) => {
    const { uri = '', ...rest } = more;
    return fixture.hypervisor({ uri }).existingDisks({ target, disks, guestId: null, force: false, ...rest });
  };

  it('finds images by the names of the disks, and opens them', async () => {
    const [found, ...others] = await find('web', ['vda']);
    assert.deepEqual([found?.label, others], [`vda of web (file ${image})`, []]);
    await using device = await found?.open({ size: 65_536, label: 'vda' });
    assert.equal(device?.size, 65_536);
  });

  it('takes the one disk that is named for the one disk of the backup, whatever that is called', async () => {
    assert.equal((await find('web:vda', ['sdc'])).length, 1);
    await assert.rejects(find('web:vda', ['vda', 'vdb']), { code: 'VB_GUEST_NOT_FOUND' });
  });

  it('takes the disks of another domain, and another disk, by force only', async () => {
    const { uuid } = fixture.domain.facts;
    assert.equal((await find('web', ['vda'], { guestId: uuid })).length, 1);
    assert.equal((await find('web:vda', ['vda'], { guestId: `${uuid}:vda` })).length, 1);
    const other = { guestId: '99999999-0000-4000-8000-000000000000' };
    await assert.rejects(find('web', ['vda'], other), { code: 'VB_LIBVIRT_OTHER_DISK', cure: /--force/ });
    assert.equal((await find('web', ['vda'], { ...other, force: true })).length, 1);
    await assert.rejects(find('web:vda', ['vdb'], { guestId: uuid }), { code: 'VB_LIBVIRT_OTHER_DISK' });
    assert.equal((await find('web:vda', ['vdb'], { guestId: uuid, force: true })).length, 1);
  });

  const cases: readonly [string, string, () => Promise<unknown>][] = [
    ['a domain that is not there', 'VB_GUEST_NOT_FOUND', () => find('wob', ['vda'])],
    ['a disk that is not there', 'VB_GUEST_NOT_FOUND', () => find('web', ['vdx'])],
    [
      'a domain that runs',
      'VB_LIBVIRT_RUNNING',
      () => {
        fixture.domain.facts = { ...fixture.domain.facts, active: true };
        return find('web', ['vda']);
      },
    ],
    [
      'a domain whose memory is saved',
      'VB_LIBVIRT_SAVED_STATE',
      () => {
        fixture.domain.managedSave = true;
        return find('web', ['vda']);
      },
    ],
    [
      'an image that only libvirt can decrypt',
      'VB_LIBVIRT_DISK',
      () => {
        fixture.domain.xml = xmlOf(`<source file='${image}'><encryption format='luks'/></source>`);
        return find('web', ['vda']);
      },
    ],
    ['a disk on the network', 'VB_LIBVIRT_DISK', () => find('web', ['vdb'])],
    ['a cdrom', 'VB_LIBVIRT_DISK', () => find('web', ['sda'])],
    [
      'another host that only libvirt knows of, by an alias or as its default',
      'VB_LIBVIRT_REMOTE',
      () => {
        fixture.libvirt.hostFacts = { ...fixture.libvirt.hostFacts, uri: 'qemu+ssh://far/system' };
        return find('web', ['vda']);
      },
    ],
    ['another host', 'VB_LIBVIRT_REMOTE', () => find('web', ['vda'], { uri: 'qemu+ssh://host/system' })],
  ];
  for (const [what, code, act] of cases) {
    it(`refuses ${what}`, () => assert.rejects(act(), { code }));
  }
});
