import assert from 'node:assert/strict';
import { decodeArchive } from '../testing/vma-archive.js';
import { loadVmaFixture } from '../testing/vma-fixture.js';
import { type PveDisk, pveConfig, withoutMapsOf } from './pve-config.js';
import { pveArchiveName, pveDeviceName, pvePartialPath } from './pve-name.js';

const GiB = 1024 ** 3;
const DISK: PveDisk = { slot: 'scsi0', size: 8 * GiB };

const lines = (text: Buffer): readonly string[] => text.toString().trimEnd().split('\n');

describe('names as Proxmox gives them', () => {
  it('says the guest and the local time in the name of an archive', () => {
    const time = new Date(2026, 0, 2, 3, 4, 5);
    assert.equal(pveArchiveName({ vmid: 100, time }), 'vzdump-qemu-100-2026_01_02-03_04_05.vma');
    const compressed = pveArchiveName({ vmid: 999_999_999, time, compression: 'zstd' });
    assert.equal(compressed, 'vzdump-qemu-999999999-2026_01_02-03_04_05.vma.zst');
  });

  for (const vmid of [0, 99, -100, 100.5, 1_000_000_000, Number.NaN]) {
    it(`refuses ${vmid} as the number of a guest`, () => {
      assert.throws(() => pveArchiveName({ vmid, time: new Date() }), { code: 'VB_INVALID_ARGUMENT' });
    });
  }

  it('replaces the last extension while it writes', () => {
    assert.equal(pvePartialPath('/dump/a.vma.zst'), '/dump/a.vma.dat');
    assert.equal(pvePartialPath('/dump/a.vma'), '/dump/a.dat');
    assert.equal(pvePartialPath('/dump.d/a'), '/dump.d/a.dat');
  });

  it('calls a device after its disk', () => {
    assert.equal(pveDeviceName('scsi30'), 'drive-scsi30');
    assert.equal(pveDeviceName('efidisk0'), 'drive-efidisk0');
    assert.equal(pveDeviceName('tpmstate0'), 'drive-tpmstate0-backup');
  });

  for (const slot of [
    '',
    'scsi',
    'scsi31',
    'scsi01',
    'ide4',
    'sata6',
    'virtio16',
    'efidisk1',
    'toString0',
    'scsi0\n',
  ]) {
    it(`refuses ${JSON.stringify(slot)} as a disk`, () => {
      assert.throws(() => pveDeviceName(slot), { code: 'VB_INVALID_ARGUMENT' });
    });
  }
});

describe('pveConfig', () => {
  it('makes the least that starts, with a line for every disk and for every device', () => {
    const disks = [
      { ...DISK, storage: 'local-lvm' },
      { slot: 'efidisk0', size: 540_672, format: 'qcow2' },
    ];
    assert.deepEqual(lines(pveConfig({ vmid: 105, disks, name: 'web' })), [
      'bios: ovmf',
      'boot: order=scsi0',
      'cores: 1',
      'memory: 2048',
      'name: web',
      'ostype: other',
      'scsi0: local-lvm:vm-105-disk-0,size=8G',
      'efidisk0: local:vm-105-disk-1,size=528K',
      '#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:',
      '#qmdump#map:efidisk0:drive-efidisk0:local:qcow2:',
    ]);
  });

  it('gives back what Proxmox wrote', () => {
    const [config] = decodeArchive(loadVmaFixture('01-basic.vma')).header.configs;
    assert.ok(config !== undefined);
    const disks = [{ slot: 'scsi0', size: 1024 * 1024, storage: 'local-lvm' }];
    assert.deepEqual(pveConfig({ vmid: 100, disks, base: config.content }), config.content);
  });

  it('leaves out what vzdump leaves out, and maps no device that is not there', () => {
    const base = Buffer.from(
      'memory: 512\nlock: backup\nparent: before\nunused0: local:x\nscsi0: lvm:y,size=8G\n' +
        '#qmdump#map:scsi9:drive-scsi9:local:raw:\n# a note\n\n[before]\nmemory: 256\nscsi0: lvm:z\n',
    );
    assert.deepEqual(lines(pveConfig({ vmid: 100, disks: [DISK], base })), [
      'memory: 512',
      'scsi0: lvm:y,size=8G',
      '# a note',
      '#qmdump#map:scsi0:drive-scsi0:local:raw:',
    ]);
  });

  it('takes nothing that would begin another line or field', () => {
    for (const [field, value] of [
      ['storage', 'local:raw'],
      ['storage', 'local\nargs'],
      ['storage', ''],
      ['format', 'raw\n'],
    ] as const) {
      const disks = [{ ...DISK, [field]: value }];
      assert.throws(() => pveConfig({ vmid: 100, disks }), { code: 'VB_INVALID_ARGUMENT' });
    }
    assert.throws(() => pveConfig({ vmid: 100, disks: [], name: 'a\nargs: x' }), { code: 'VB_INVALID_ARGUMENT' });
  });
});

describe('withoutMapsOf', () => {
  const conf = Buffer.concat([
    Buffer.from(
      'scsi0: local:0\r\n#qmdump#map:scsi0:drive-scsi0:local:raw:\n#qmdump#map:scsi1:drive-scsi1:local:raw:\n',
    ),
    Buffer.from([0xff, 0xfe, 0x0a]),
    Buffer.from('#qmdump#map:odd'),
  ]);

  it('takes out the lines of devices that are left out, and leaves every other byte', () => {
    const [kept] = conf.toString('latin1').split('#qmdump#map:scsi1');
    const tail = conf.subarray(conf.indexOf(0xff));
    assert.deepEqual(withoutMapsOf(conf, ['drive-scsi1']), Buffer.concat([Buffer.from(kept ?? '', 'latin1'), tail]));
    assert.equal(withoutMapsOf(conf, ['drive-scsi2', 'scsi1']), conf);
    assert.equal(withoutMapsOf(conf, []), conf);
  });
});
