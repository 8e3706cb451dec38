import assert from 'node:assert/strict';
import { chooseDisk } from './disk-choice.js';
import { parseDomain } from './domain-xml.js';

/** As libvirt 9 writes it of a domain that runs, with one disk of every kind that matters here. */
const LIVE = `<domain type='qemu' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>we&amp;b</name>
  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>
    <kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>console=ttyS0</cmdline>
  </os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/images/top.qcow2' index='2'/>
      <backingStore type='file' index='3'>
        <format type='qcow2'/><source file='/images/middle.qcow2'/>
        <backingStore type='block' index='4'><format type='raw'/><source dev='/dev/vg/base'/><backingStore/></backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
    </disk>
    <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/data'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/><source protocol='rbd' name='pool/image'><host name='ceph'/></source><target dev='vdc'/>
    </disk>
    <disk type='volume' device='disk'><driver type='qcow2'/><source pool='default' volume='v.qcow2'/><target dev='vdd'/></disk>
    <disk type='file' device='cdrom'><driver type='raw'/><source file='/iso'/><target dev='sda'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>
    <disk type='block' device='lun'><driver type='raw'/><source dev='/dev/sdx'/><target dev='sdc'/></disk>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/ro.qcow2'/><target dev='vde'/><readonly/></disk>
    <disk type='file' device='disk'><driver type='raw'/><source file='/shared'/><target dev='vdf'/><shareable/></disk>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/t.qcow2'/><target dev='vdg'/><transient/></disk>
    <disk type='vhostuser' device='disk'><driver type='raw'/><source type='unix' path='/vhost'/><target dev='vdh'/></disk>
    <disk type='file' device='disk'><source file='/nobody-says.img'/><target dev='vdi'/></disk>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/moving.qcow2'/><target dev='vdj'/>
      <mirror type='file' job='copy' ready='yes'><source file='/new.qcow2'/></mirror></disk>
    <disk type='file' device='disk'><driver type='vmdk'/><source file='/d.vmdk'/><target dev='vdk'/></disk>
    <disk type='file' device='disk' snapshot='no'><driver type='qcow2'/><source startupPolicy='optional'/><target dev='vdl'/></disk>
  </devices>
  <seclabel type='none'/>
</domain>`;

const disk = (target: string) => {
  const found = parseDomain(LIVE).disks.find((each) => each.target === target);
  assert.ok(found);
  return found;
};

describe('parseDomain', () => {
  it('reads the name, the uuid and the files that the domain starts from', () => {
    const { name, uuid, bootFiles, disks } = parseDomain(LIVE);
    assert.deepEqual([name, uuid, disks.length], ['we&b', '6695eb01-f6a4-8304-79aa-97f2502e193f', 16]);
    assert.deepEqual(bootFiles, [
      { kind: 'loader', path: '/usr/share/OVMF/OVMF_CODE.fd' },
      { kind: 'nvram', path: '/var/lib/libvirt/qemu/nvram/web_VARS.fd' },
      { kind: 'kernel', path: '/boot/vmlinuz' },
      { kind: 'initrd', path: '/boot/initrd' },
    ]);
  });

  it('reads a disk and the images that it stands on', () => {
    assert.deepEqual(disk('vda'), {
      target: 'vda',
      bus: 'virtio',
      device: 'disk',
      image: { type: 'file', format: 'qcow2', source: '/images/top.qcow2' },
      backingChain: [
        { type: 'file', format: 'qcow2', source: '/images/middle.qcow2' },
        { type: 'block', format: 'raw', source: '/dev/vg/base' },
      ],
      readOnly: false,
      shareable: false,
      transient: false,
      mirrored: false,
      disguise: null,
    });
  });

  it('sees that a disk is being moved', () => {
    assert.deepEqual([disk('vdj').mirrored, disk('vdj').image.source], [true, '/moving.qcow2']);
  });

  it('reads variables that lie behind a source element', () => {
    const xml = "<domain><os><nvram type='file'><source file='/n.fd'/></nvram></os></domain>";
    assert.deepEqual(parseDomain(xml).bootFiles, [{ kind: 'nvram', path: '/n.fd' }]);
  });

  it('stops in a chain without end', () => {
    const deep = 300;
    const chain = "<backingStore type='file'><source file='/x'/>".repeat(deep) + '</backingStore>'.repeat(deep);
    const xml = `<domain><devices><disk><target dev='vda'/>${chain}</disk></devices></domain>`;
    assert.equal(parseDomain(xml).disks[0]?.backingChain.length, 200);
  });

  for (const [fault, text] of [
    ['nothing', ''],
    ['what is no XML', '<domain><name>web</domain>'],
    ['an attribute without quotes', '<domain type=qemu></domain>'],
    ['another document', '<network><name>default</name></network>'],
    ['two roots', '<domain/><domain/>'],
    ['an entity that is not declared', '<domain><name>&evil;</name></domain>'],
    ['too much', `<domain>${' '.repeat(4 * 1024 * 1024)}</domain>`],
  ] as const) {
    it(`refuses ${fault}`, () => {
      assert.throws(() => parseDomain(text), { code: 'VB_LIBVIRT_XML' });
    });
  }
});

describe('chooseDisk', () => {
  for (const [target, kind, words] of [
    ['vda', 'tracked', null],
    ['vdb', 'untracked', /raw image/],
    ['vdc', 'untracked', /raw image/],
    ['vdd', 'tracked', null],
    ['vdi', 'untracked', /raw image/],
    ['vdk', 'untracked', /vmdk image/],
    ['sda', 'left-out', /cdrom/],
    ['sdb', 'left-out', /cdrom/],
    ['fda', 'left-out', /floppy/],
    ['sdc', 'left-out', /SCSI/],
    ['vde', 'left-out', /only read/],
    ['vdf', 'left-out', /other domains/],
    ['vdg', 'left-out', /transient/],
    ['vdh', 'left-out', /vhostuser/],
    ['vdl', 'left-out', /no medium/],
  ] as const) {
    it(`takes ${target} for ${kind}${words === null ? '' : `: ${words.source}`}`, () => {
      const choice = chooseDisk(disk(target));
      assert.equal(choice.kind, kind);
      if (words !== null) assert.match('reason' in choice ? choice.reason : '', words);
    });
  }

  it('leaves out what the user excludes, and is not surprised', () => {
    assert.partialDeepStrictEqual(chooseDisk(disk('vda'), ['vdb', 'vda']), { kind: 'left-out', surprising: false });
    assert.equal(chooseDisk(disk('vda'), ['vdb', 'vd']).kind, 'tracked');
  });
});
