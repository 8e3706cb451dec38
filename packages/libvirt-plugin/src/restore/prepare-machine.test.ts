import assert from 'node:assert/strict';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineRequest } from '@vbackup/core';
import { parseDomain } from '../domain/index.js';
import { Fixture } from '../testing/fixture.js';

const UUID = '00000000-0000-4000-8000-000000000001';

describe('prepareMachine', () => {
  let fixture: Fixture;
  let folder: string;
  beforeEach(async () => {
    fixture = await Fixture.make();
    folder = join(fixture.folder, 'restored');
    await mkdir(folder);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const xmlOf = (os = '', uuid = UUID): string => `<domain><name>web</name><uuid>${uuid}</uuid><os>${os}</os><devices>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/nowhere/a.qcow2'/><target dev='vda'/></disk>
    </devices></domain>`;
  const request = (more: Partial<MachineRequest> & { readonly xml?: string; readonly record?: unknown } = {}) => {
    const { xml = xmlOf(), record = { autostart: true, boot: {} }, ...rest } = more;
    return {
      configuration: [
        { name: 'domain.xml', content: Buffer.from(xml) },
        { name: 'libvirt.json', content: Buffer.from(JSON.stringify(record)) },
      ],
      disks: [{ name: 'vda', path: join(folder, 'vda.qcow2'), format: 'qcow2' } as const],
      folder,
      force: false,
      ...rest,
    };
  };
  const prepare = (more: Parameters<typeof request>[0] = {}, uri = '') =>
    fixture.hypervisor({ uri }).prepareMachine(request(more));
  /** The domain was lost with its host. */
  const lose = (): void => void fixture.libvirt.domains.splice(0);

  it('defines the domain again, as it was', async () => {
    lose();
    const machine = await prepare();
    assert.equal(fixture.libvirt.domains.length, 0, 'nothing is done before the disks are there');
    assert.deepEqual(await machine.define(), { name: 'web', id: UUID });
    const [domain] = fixture.libvirt.domains;
    assert.equal(domain?.facts.autostart, true);
    assert.equal(parseDomain(domain?.xml ?? '').disks[0]?.image.source, join(folder, 'vda.qcow2'));
  });

  it('defines a copy beside it, which does not start by itself', async () => {
    const machine = await prepare({ name: 'web-restored' });
    const { id } = await machine.define();
    assert.notEqual(id, UUID);
    const [first, copy] = fixture.libvirt.domains;
    assert.deepEqual([first?.facts.name, copy?.facts.name, copy?.facts.autostart], ['web', 'web-restored', false]);
  });

  it('replaces the definition by force only, and forgets our checkpoints and no others', async () => {
    const ours = 'vbackup-01234567-01arz3ndektsv4rrffq69g5fav';
    fixture.domain.checkpoints.push(
      { name: ours, parent: null, xml: '' },
      { name: 'of-someone-else', parent: null, xml: '' },
    );
    fixture.domain.facts = { ...fixture.domain.facts, state: 'shut-off', active: false };
    await assert.rejects(prepare(), { code: 'VB_LIBVIRT_DEFINED', cure: /--name.*--force.*--in-place/ });
    await (await prepare({ force: true })).define();
    assert.equal(fixture.libvirt.domains.length, 1);
    assert.match(fixture.domain.xml, /restored/);
    assert.deepEqual(
      fixture.domain.checkpoints.map(({ name }) => name),
      ['of-someone-else'],
    );
  });

  describe('refuses', () => {
    const cases: readonly [string, string, () => Promise<unknown>][] = [
      ['a domain that runs, even by force', 'VB_LIBVIRT_RUNNING', () => prepare({ force: true })],
      [
        'a domain whose memory is saved',
        'VB_LIBVIRT_SAVED_STATE',
        () => {
          fixture.domain.facts = { ...fixture.domain.facts, state: 'shut-off', active: false };
          fixture.domain.managedSave = true;
          return prepare({ force: true });
        },
      ],
      [
        'the name of another domain',
        'VB_LIBVIRT_DEFINED',
        () => prepare({ xml: xmlOf('', '99999999-0000-4000-8000-000000000000'), force: true }),
      ],
      [
        'a domain that has another name now',
        'VB_LIBVIRT_DEFINED',
        () => {
          fixture.domain.facts = { ...fixture.domain.facts, name: 'renamed' };
          return prepare({ force: true });
        },
      ],
      [
        'to overwrite a disk of another domain, whatever its path is called',
        'VB_LIBVIRT_IMAGE_USED',
        async () => {
          await writeFile(join(folder, 'real.qcow2'), '');
          await symlink(join(folder, 'real.qcow2'), join(folder, 'vda.qcow2'));
          fixture.domain.xml = xmlOf().replace('/nowhere/a.qcow2', join(folder, 'real.qcow2'));
          return prepare({ name: 'copy', force: true });
        },
      ],
      [
        'to overwrite what a disk of a domain that is off stands on',
        'VB_LIBVIRT_IMAGE_USED',
        async () => {
          const base = join(folder, 'vda.qcow2');
          await writeFile(base, 'the golden image');
          fixture.images.set('/nowhere/a.qcow2', { backingPath: '/nowhere/middle', backingFormat: 'qcow2' });
          fixture.images.set('/nowhere/middle', { backingPath: base, backingFormat: 'raw' });
          return prepare({ name: 'copy', force: true });
        },
      ],
      ['a backup of something else', 'VB_LIBVIRT_NO_DEFINITION', () => prepare({ configuration: [] })],
      ['a name that is a path', 'VB_INVALID_ARGUMENT', () => prepare({ name: '../etc/x' })],
      ['a name that no XML can hold', 'VB_INVALID_ARGUMENT', () => prepare({ name: 'a\u0001b' })],
      ['a name that is too long for a file', 'VB_INVALID_ARGUMENT', () => prepare({ name: 'ü'.repeat(101) })],
      [
        'another host that only libvirt knows of, by an alias or as its default',
        'VB_LIBVIRT_REMOTE',
        () => {
          fixture.libvirt.hostFacts = { ...fixture.libvirt.hostFacts, uri: 'qemu+ssh://far/system' };
          return prepare({ name: 'copy' });
        },
      ],
      ['a host elsewhere', 'VB_LIBVIRT_REMOTE', () => prepare({}, 'qemu+tls://host/system')],
    ];
    for (const [what, code, act] of cases) {
      it(what, async () => {
        await assert.rejects(act(), { code });
        assert.equal(
          fixture.libvirt.calls.some((call) => call.startsWith('defineDomain')),
          false,
        );
      });
    }
  });

  it('writes the UEFI variables beside the disks, and a kernel only where the host has none', async () => {
    lose();
    const there = join(fixture.folder, 'vmlinuz');
    await writeFile(there, 'newer');
    const os = `<nvram>/nvram/web_VARS.fd</nvram><kernel>${there}</kernel><initrd>/nowhere/initrd</initrd>`;
    const record = { boot: { nvram: '/nvram/web_VARS.fd', kernel: there, initrd: '/nowhere/initrd' } };
    const base = request({ xml: xmlOf(os), record });
    const saved = ['nvram', 'kernel', 'initrd'].map((name) => ({ name, content: Buffer.from(`old ${name}`) }));
    const asked = { ...base, configuration: [...base.configuration, ...saved] };
    await (await fixture.hypervisor().prepareMachine(asked)).define();
    const paths = parseDomain(fixture.libvirt.domains[0]?.xml ?? '').bootFiles.map(({ path }) => path);
    assert.deepEqual(paths, [join(folder, 'web_VARS.fd'), there, join(folder, 'initrd')]);
    assert.equal(await readFile(join(folder, 'web_VARS.fd'), 'utf8'), 'old nvram');
    assert.equal(await readFile(there, 'utf8'), 'newer');
    lose();
    await assert.rejects(fixture.hypervisor().prepareMachine(asked), { code: 'VB_TARGET_EXISTS' });
  });

  it('lets no file of the backup take the place of a disk, of another one, or of a folder', async () => {
    lose();
    const os = '<kernel>/nowhere/vda.qcow2</kernel><initrd>/nowhere/..</initrd><dtb>/elsewhere/vda.qcow2</dtb>';
    const record = { boot: { k: '/nowhere/vda.qcow2', i: '/nowhere/..', d: '/elsewhere/vda.qcow2' } };
    const base = request({ xml: xmlOf(os), record, force: true });
    const saved = ['k', 'i', 'd'].map((name) => ({ name, content: Buffer.from(name) }));
    await writeFile(join(folder, 'vda.qcow2'), 'the disk');
    const machine = await fixture
      .hypervisor()
      .prepareMachine({ ...base, configuration: [...base.configuration, ...saved] });
    await machine.define();
    const names = ['vda.qcow2', 'kernel-vda.qcow2', 'initrd-..', 'dtb-vda.qcow2'];
    const contents = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
    assert.deepEqual(contents, ['the disk', 'k', 'i', 'd']);
  });

  it('has libvirt try the definition before anything is restored, and leaves nothing of that', async () => {
    lose();
    fixture.libvirt.fail('defineDomain', 67);
    await assert.rejects(prepare(), { code: 'VB_LIBVIRT_DEFINE', message: /nothing is restored/ });
    await prepare();
    assert.deepEqual(fixture.libvirt.domains, []);
    const [, , tried] = fixture.libvirt.calls.filter((call) => /define/i.test(call));
    assert.match(tried ?? '', /undefineDomain/);
  });

  for (const [what, name, change, why] of [
    [
      'was started',
      undefined,
      () => void (fixture.domain.facts = { ...fixture.domain.facts, state: 'running', active: true }),
      /web runs/,
    ],
    [
      'got a namesake',
      'copy',
      () => void fixture.libvirt.addDomain({ name: 'copy' }, xmlOf('', 'x')),
      /another domain is called copy/,
    ],
  ] as const) {
    it(`replaces nothing where the domain ${what} while its disks were restored`, async () => {
      fixture.domain.facts = { ...fixture.domain.facts, state: 'shut-off', active: false };
      const before = fixture.domain.xml;
      const machine = await prepare(name === undefined ? { force: true } : { name });
      change();
      await assert.rejects(machine.define(), { code: 'VB_LIBVIRT_DEFINE', message: why });
      assert.equal(fixture.domain.xml, before);
    });
  }

  it('says that the domain is there where only its checkpoints could not be forgotten', async () => {
    fixture.domain.facts = { ...fixture.domain.facts, state: 'shut-off', active: false };
    const machine = await prepare({ force: true });
    fixture.libvirt.fail('listCheckpoints', 1);
    assert.equal((await machine.define()).name, 'web');
    assert.match(fixture.warnings.at(-1)?.message ?? '', /web is defined, but libvirt still has its old checkpoints/);
  });

  it('keeps the disks where libvirt does not take the definition, and says how to go on', async () => {
    lose();
    const machine = await prepare();
    fixture.libvirt.fail('defineDomain', 67);
    await writeFile(join(folder, 'web.xml'), 'of someone else');
    const definition = join(folder, 'web-2.xml');
    await assert.rejects(machine.define(), {
      code: 'VB_LIBVIRT_DEFINE',
      cure: new RegExp(`virsh define '${definition}'`),
    });
    assert.match(await readFile(definition, 'utf8'), /vda\.qcow2/);
    assert.equal(await readFile(join(folder, 'web.xml'), 'utf8'), 'of someone else');
  });
});
