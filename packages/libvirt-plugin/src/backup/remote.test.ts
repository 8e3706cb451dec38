import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '@vbackup/core';
import { checkpointName, makeUlid } from '../checkpoint/index.js';
import { Fixture, MemoryJournal, REPOSITORY, request } from '../testing/fixture.js';
import { isOfChain, scratchName, socketName } from './job-files.js';

const URI = 'qemu+ssh://root@far.example/system';

describe('a snapshot of a domain on another host', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const clear = { uri: URI, 'nbd-insecure': true } as const;
  const jobXml = (): string => fixture.domain.job?.xml ?? assert.fail('no job');

  for (const [what, values, message] of [
    ['without certificates', { uri: URI }, /no certificates/],
    ['whose certificates cannot be read', { uri: URI, 'nbd-tls-certificates': '/nowhere' }, /ca-cert\.pem/],
    ['that the URI does not name', { uri: 'qemu+ssh:///system', 'nbd-insecure': true }, /names no host/],
  ] as const) {
    it(`is refused ${what}, before anything is done`, async () => {
      const journal = new MemoryJournal();
      const far = fixture.hypervisor({}, values);
      await assert.rejects(far.snapshot(fixture.guest, request({ journal })), { code: 'VB_LIBVIRT_REMOTE', message });
      assert.deepEqual([journal.entries, fixture.domain.job, fixture.domain.checkpoints], [[], null, []]);
    });
  }

  it('is known as one also by what libvirt made of the URI', async () => {
    fixture.libvirt.hostFacts = { ...fixture.libvirt.hostFacts, uri: URI };
    await assert.rejects(fixture.hypervisor().snapshot(fixture.guest, request()), { code: 'VB_LIBVIRT_REMOTE' });
    await fixture.libvirt.destroyDomain(fixture.domain.facts.uuid);
    const far = fixture.hypervisor({}, { 'nbd-insecure': true });
    await assert.rejects(far.snapshot(fixture.guest, request()), { code: 'VB_LIBVIRT_NOT_RUNNING' });
    assert.deepEqual([fixture.images.calls, fixture.images.requests], [[], []]);
  });

  for (const [values, server, address] of [
    [clear, 'name="far.example" port="10809"', 'far.example:10809'],
    [
      { ...clear, 'nbd-host': 'nat.example', 'nbd-listen': '10.0.0.1', 'nbd-port': 4000 },
      'name="10.0.0.1" port="4000"',
      'nat.example:4000',
    ],
  ] as const) {
    it(`is read from ${address}`, async () => {
      await using _snapshot = await fixture.hypervisor({}, values).snapshot(fixture.guest, request());
      assert.ok(jobXml().includes(`<server transport="tcp" tls="no" ${server}/>`), jobXml());
      const addresses = fixture.exports.opened.map((each) =>
        each.address.kind === 'tcp' ? `${each.address.host}:${each.address.port}` : each.address.path,
      );
      assert.deepEqual(addresses, [address, address]);
    });
  }

  it('looks into no file of this machine', async () => {
    const path = join(fixture.folder, 'a.qcow2');
    // Of version 2, in which a bitmap has no place: the image of that name over there may be another one.
    await writeFile(path, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.from([0, 0, 0, 2])]));
    const boot = `<os><kernel>${path}</kernel></os>`;
    fixture.domain.xml = fixture.domain.xml.replace('/nowhere/a.qcow2', path).replace('<devices>', `${boot}<devices>`);
    await using snapshot = await fixture.hypervisor({}, clear).snapshot(fixture.guest, request());
    assert.equal(fixture.domain.checkpoints.length, 1);
    assert.deepEqual(
      snapshot.configuration.map(({ name }) => name),
      ['domain.xml', 'libvirt.json', 'checkpoint.xml', 'vda.image.json', 'vdb.image.json'],
    );
    const vda = snapshot.configuration.find(({ name }) => name === 'vda.image.json')?.content.toString() ?? '';
    assert.deepEqual(JSON.parse(vda), { format: 'qcow2' }, 'only what the definition says');
    assert.match(
      fixture.warnings.map(({ code, message }) => `${code} ${message}`).join(),
      /^VB_LIBVIRT_FILE .*another host/,
    );
  });

  it('is watched, committed and undone by its scratch files', async () => {
    const far = fixture.hypervisor({}, clear);
    await using snapshot = await far.snapshot(fixture.guest, request());
    await snapshot.confirm?.();
    const other = jobXml().replaceAll(/vbackup-[^/]*\.scratch/g, 'theirs');
    fixture.domain.job = { xml: other };
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_JOB_LOST' });
    await snapshot[Symbol.asyncDispose]();
    assert.equal(fixture.domain.job?.xml, other, 'the job of somebody else goes on');
  });

  it('is undone after a death, and leaves files of this machine alone', async () => {
    const journal = new MemoryJournal();
    const far = fixture.hypervisor({}, clear);
    await far.snapshot(fixture.guest, request({ journal }));
    const [scratch] = listOf(
      journal.entries.find(({ step }) => step === 'job'),
      'scratches',
    );
    assert.ok(typeof scratch === 'string');
    await writeFile(scratch, 'of this machine');
    for (let time = 0; time < 2; time += 1) {
      await far.recover({ backupId: 'fedcba9876543210', entries: journal.entries, committed: false });
      assert.deepEqual([fixture.domain.job, fixture.domain.checkpoints, existsSync(scratch)], [null, [], true]);
    }
  });

  it('ends the job of a dead run of its chain', async () => {
    const far = fixture.hypervisor({}, clear);
    await far.snapshot(fixture.guest, request({ keepCheckpoint: false }));
    const first = jobXml();
    await using _second = await far.snapshot(fixture.guest, request({ keepCheckpoint: false }));
    assert.notEqual(jobXml(), first);
    const one = await far.find('web:vda');
    await assert.rejects(far.snapshot(one, request()), { code: 'VB_LIBVIRT_JOB' });
  });
});

const listOf = (entry: JsonObject | undefined, key: string): readonly unknown[] => {
  const value: unknown = entry?.[key];
  return Array.isArray(value) ? value : [];
};

describe('isOfChain', () => {
  const name = checkpointName(REPOSITORY, makeUlid());
  const foreign = checkpointName('76543210', makeUlid());
  const domain = '00000000-0000-4000-8000-000000000001';
  const all = { domain, disk: null };
  const one = { domain, disk: 'vda' };
  for (const [what, job, ofAll, ofOne] of [
    ['the socket of all disks', { socket: `/t/${socketName(name, all)}`, scratches: [] }, true, false],
    ['the socket of one disk', { socket: `/t/${socketName(name, one)}`, scratches: [] }, false, true],
    ['the scratch of all disks', { socket: null, scratches: [`/t/${scratchName(name, 'vda', all)}`] }, true, false],
    ['the scratch of one disk', { socket: null, scratches: [`/t/${scratchName(name, 'vda', one)}`] }, false, true],
    ['the scratch of another disk', { socket: null, scratches: [`/t/${scratchName(name, 'vdb', one)}`] }, false, false],
    ['another repository', { socket: null, scratches: [`/t/${scratchName(foreign, 'vda', all)}`] }, false, false],
    ['another program', { socket: '/t/virtnbdbackup.1', scratches: ['/t/backup.ABCDE.vda'] }, false, false],
    ['nothing', { socket: null, scratches: [] }, false, false],
  ] as const) {
    it(`knows whose ${what} is`, () => {
      assert.deepEqual([isOfChain(job, REPOSITORY, all), isOfChain(job, REPOSITORY, one)], [ofAll, ofOne]);
    });
  }
});
