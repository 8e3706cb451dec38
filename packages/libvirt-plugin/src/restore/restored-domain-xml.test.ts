import assert from 'node:assert/strict';
import { parseDomain } from '../domain/index.js';
import { attributeOf, childOf, childrenOf, parseXml, textOf } from '../xml/index.js';
import { type DomainChange, restoredDomainXml } from './restored-domain-xml.js';

const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f';
/** As libvirt writes it of a transient domain that runs, with what can stand in the way of a copy. */
const XML = `<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name><uuid>${UUID}</uuid><genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>
  <metadata><a:b xmlns:a="urn:a">kept &amp; whole</a:b></metadata>
  <sysinfo type='smbios'><system><entry name='manufacturer'>M</entry><entry name='uuid'>${UUID}</entry></system></sysinfo>
  <os><type>hvm</type><loader readonly='yes' type='pflash'>/fw/CODE.fd</loader>
    <nvram template='/fw/VARS.fd'>/nvram/web_VARS.fd</nvram><kernel>/boot/k</kernel><initrd>/boot/i</initrd></os>
  <devices><emulator>/rhel/qemu-kvm</emulator>
    <memory model='nvdimm'><source><path>/pmem/web</path></source></memory>
    <pstore backend='acpi-erst'><path>/pstore/web</path></pstore>
    <disk type='block' device='disk'><driver name='qemu' type='qcow2' cache='none' discard_no_unref='on'>
        <metadata_cache><max_size unit='bytes'>1048576</max_size></metadata_cache></driver>
      <source dev='/dev/vg/a' index='3'><encryption format='luks'/><seclabel model='dac' relabel='no'/></source>
      <backingStore type='file' index='4'><format type='raw'/><source file='/base'/></backingStore>
      <target dev='vda' bus='virtio'/><serial>S1</serial><boot order='1'/><alias name='virtio-disk0'/></disk>
    <disk type='network' device='disk'><auth username='u'/><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>
    <disk type='file' device='disk'><driver type='raw'/><source file='/left'/><target dev='vdc'/></disk>
    <disk type='file' device='disk'><driver type='raw'/><source file='/shared'/><target dev='vdd'/><shareable/></disk>
    <disk type='file' device='cdrom'><source file='/gone.iso'/><target dev='sda'/><readonly/></disk>
    <disk type='file' device='cdrom'><source file='/there.iso'/><target dev='sdb'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0' portid='p'/>
      <virtualport type='openvswitch'><parameters interfaceid='x' profileid='kept'/></virtualport>
      <target dev='tap7'/><model type='virtio'/><alias name='ua-net'/></interface>
    <serial type='file'><source path='/log/web.log'/><target port='0'/><alias name='serial0'/></serial>
    <serial type='pty'><log file='/log/pty.log'/></serial>
    <channel type='unix'><source mode='bind' path='/run/channel/web/agent.0'/><target type='virtio' name='a.0'/></channel>
    <channel type='unix'><source mode='connect' path='/run/other'/><target type='virtio' name='b.0'/></channel>
    <graphics type='vnc' socket='/run/vnc'><listen type='socket' socket='/run/vnc'/></graphics>
    <vsock><cid auto='no' address='3'/></vsock>
    <tpm model='tpm-crb'><backend type='emulator'/></tpm>
    <graphics type='vnc' port='5901' autoport='no'/>
  </devices>
  <seclabel type='dynamic' model='dac'><label>+0:+0</label></seclabel>
  <seclabel type='none' model='selinux'/>
  <qemu:commandline><qemu:arg value='-x'/></qemu:commandline>
</domain>`;

const CHANGE: DomainChange = {
  identity: null,
  disks: [
    { name: 'vda', path: '/r/vda.raw', format: 'raw' },
    { name: 'vdb', path: '/r/vdb.qcow2', format: 'qcow2' },
  ],
  moved: new Map([['/nvram/web_VARS.fd', '/r/web_VARS.fd']]),
  emptied: new Set(['sda']),
  missing: new Set(),
};
const COPY = { ...CHANGE, identity: { uuid: '11111111-2222-4333-8444-555555555555', name: 'copy', folder: '/r' } };

describe('restoredDomainXml', () => {
  const asked = (change: DomainChange) => {
    const { xml, remarks } = restoredDomainXml(XML, change);
    const root = parseXml(xml, 'domain');
    const devices = childOf(root, 'devices');
    const disk = (target: string) =>
      childrenOf(devices, 'disk').find((each) => attributeOf(childOf(each, 'target'), 'dev') === target);
    return { xml, remarks, root, devices, disk };
  };

  it('gives the disks their restored images, and leaves out what belonged to the old ones', () => {
    const { xml, disk } = asked(CHANGE);
    const [vda, vdb] = parseDomain(xml).disks;
    assert.deepEqual(vda?.image, { type: 'file', format: 'raw', source: '/r/vda.raw' });
    assert.deepEqual([vda?.backingChain, childrenOf(disk('vda'), 'source').length], [[], 1]);
    assert.deepEqual(vdb?.image, { type: 'file', format: 'qcow2', source: '/r/vdb.qcow2' });
    assert.equal(childOf(disk('vdb'), 'auth'), undefined);
    const driver = childOf(disk('vda'), 'driver');
    assert.deepEqual([attributeOf(driver, 'cache'), attributeOf(driver, 'discard_no_unref')], ['none', null]);
    assert.equal(childOf(driver, 'metadata_cache'), undefined);
    assert.equal(attributeOf(childOf(disk('vdb'), 'driver'), 'name'), 'qemu');
    assert.equal(textOf(childOf(disk('vda'), 'serial')), 'S1');
    assert.doesNotMatch(xml, /luks|index=|\/dev\/vg|\/base|seclabel model='dac'/);
  });

  it('is the same machine under its own name, with a new generation and its variables elsewhere', () => {
    const { xml, root, devices, disk } = asked(CHANGE);
    const { name, uuid, bootFiles } = parseDomain(xml);
    assert.deepEqual([name, uuid], ['web', UUID]);
    assert.equal(textOf(childOf(root, 'genid')), null);
    assert.equal(attributeOf(childOf(devices, 'interface', 'mac'), 'address'), '52:54:00:00:00:01');
    assert.equal(attributeOf(childOf(devices, 'vsock', 'cid'), 'address'), '3');
    assert.deepEqual(
      bootFiles.map(({ path }) => path),
      ['/fw/CODE.fd', '/r/web_VARS.fd', '/boot/k', '/boot/i'],
    );
    assert.equal(attributeOf(childOf(root, 'os', 'nvram'), 'template'), '/fw/VARS.fd');
    assert.equal(attributeOf(childOf(disk('vdc'), 'source'), 'file'), '/left');
  });

  it('leaves out what belonged to the last run, and nothing that the user chose', () => {
    const { xml, root, devices } = asked(CHANGE);
    assert.equal(attributeOf(root, 'id'), null);
    assert.deepEqual(
      [...(devices?.getElementsByTagName('alias') ?? [])].map((alias) => attributeOf(alias, 'name')),
      ['ua-net'],
    );
    assert.deepEqual(
      childrenOf(root, 'seclabel').map((label) => attributeOf(label, 'type')),
      ['none'],
    );
    assert.match(xml, /<qemu:arg value="-x"\/>/);
    assert.match(xml, /kept &amp; whole/);
  });

  it('empties drives whose medium is gone, and keeps the others', () => {
    const { disk } = asked(CHANGE);
    assert.equal(childOf(disk('sda'), 'source'), undefined);
    assert.equal(attributeOf(childOf(disk('sdb'), 'source'), 'file'), '/there.iso');
  });

  it('gives a copy what only one domain can have', () => {
    const { xml, root, devices, disk } = asked(COPY);
    const { name, uuid } = parseDomain(xml);
    assert.deepEqual([name, uuid], ['copy', COPY.identity.uuid]);
    assert.equal(xml.includes(UUID), false, 'the firmware tells the new uuid as well');
    const card = childOf(devices, 'interface');
    assert.equal(childOf(card, 'mac'), undefined);
    assert.equal(attributeOf(childOf(card, 'source'), 'bridge'), 'br0');
    assert.equal(attributeOf(childOf(card, 'virtualport', 'parameters'), 'profileid'), 'kept');
    assert.doesNotMatch(xml, /portid|interfaceid|tap7|\/run\/channel|\/run\/vnc|address="3"/);
    const [file, pty] = childrenOf(devices, 'serial');
    assert.equal(attributeOf(childOf(file, 'source'), 'path'), '/r/copy-web.log');
    assert.equal(attributeOf(childOf(pty, 'log'), 'file'), '/r/copy-pty.log');
    assert.equal(attributeOf(childOf(childrenOf(devices, 'channel')[1], 'source'), 'path'), '/run/other');
    assert.equal(disk('vdc'), undefined, 'the copy does not write to a disk of the first');
    assert.equal(attributeOf(childOf(disk('vdd'), 'source'), 'file'), '/shared');
    assert.equal(textOf(childOf(root, 'os', 'nvram')), '/r/web_VARS.fd');
  });

  it('lets the firmware of a copy begin with the template where its variables were not saved', () => {
    const { root, remarks } = asked({ ...COPY, moved: new Map() });
    const nvram = childOf(root, 'os', 'nvram');
    assert.deepEqual([textOf(nvram), attributeOf(nvram, 'template')], [null, '/fw/VARS.fd']);
    assert.ok(remarks.some((remark) => /UEFI variables/.test(remark)));
    const kept = childOf(asked({ ...CHANGE, moved: new Map() }).root, 'os', 'nvram');
    assert.equal(textOf(kept), '/nvram/web_VARS.fd');
  });

  it('tells of files that are neither here nor in the backup, and has libvirt choose a QEMU that is there', () => {
    const missing = new Set(['/boot/k', '/rhel/qemu-kvm', '/nvram/web_VARS.fd']);
    const { devices, remarks } = asked({ ...CHANGE, moved: new Map(), missing });
    assert.equal(childOf(devices, 'emulator'), undefined);
    const told = remarks.join('\n');
    assert.match(told, /kernel \/boot\/k is neither on this host nor in the backup/);
    assert.match(told, /this host has no \/rhel\/qemu-kvm/);
    assert.match(told, /the UEFI variables are not in the backup: the firmware starts with new ones/);
    const there = asked({ ...CHANGE, moved: new Map() });
    assert.match(there.remarks.join(), /UEFI variables are not in the backup: those in \/nvram\/web_VARS\.fd stay/);
    assert.equal(textOf(childOf(there.devices, 'emulator')), '/rhel/qemu-kvm');
  });

  it('shares no memory in a file and no fixed port with a copy', () => {
    const { devices, remarks } = asked(COPY);
    assert.deepEqual([childOf(devices, 'memory'), childOf(devices, 'pstore', 'path')], [undefined, undefined]);
    assert.ok(remarks.includes('the memory in /pmem/web is not in the backup, and not part of the new domain'));
    const screens = childrenOf(devices, 'graphics').map((screen) => [
      attributeOf(screen, 'port'),
      attributeOf(screen, 'autoport'),
    ]);
    assert.deepEqual(screens.at(-1), [null, 'yes']);
    const same = asked(CHANGE).devices;
    assert.equal(textOf(childOf(same, 'memory', 'source', 'path')), '/pmem/web');
    assert.equal(attributeOf(childrenOf(same, 'graphics').at(-1), 'port'), '5901');
  });

  it('says what is not as it was', () => {
    assert.deepEqual(asked(CHANGE).remarks, [
      'disk vda was encrypted, and its restored image is not',
      'disk vdc is not restored: the domain gets the one that it had',
      'disk vdd is not restored: the domain gets the one that it had',
      'the medium of sda is not there: the cdrom is empty',
      'the state of the TPM is not in the backup',
    ]);
    assert.match(asked(COPY).remarks.join(), /disk vdc is not restored, and not part of the new domain/);
  });

  it('refuses what is no domain', () => {
    assert.throws(() => restoredDomainXml('<network/>', CHANGE), { code: 'VB_LIBVIRT_XML' });
  });
});
