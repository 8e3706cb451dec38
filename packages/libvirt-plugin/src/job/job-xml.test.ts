import assert from 'node:assert/strict';
import { dirtyContext, jobXml, parseJob } from './job-xml.js';

const PLAN = {
  server: { kind: 'unix', socket: '/run/v.sock' },
  disks: [
    { target: 'vda', scratch: '/tmp/v.vda', since: 'c1' },
    { target: 'vdb', scratch: '/tmp/v.vdb', since: null },
  ],
  leftOut: ['sda'],
} as const;

describe('jobXml', () => {
  it('asks for the changes of one disk and the whole of another', () => {
    assert.equal(
      jobXml(PLAN),
      '<domainbackup mode="pull"><server transport="unix" socket="/run/v.sock"/><disks>' +
        '<disk name="vda" backup="yes" type="file" exportname="vda" backupmode="incremental" incremental="c1" exportbitmap="backup-vda"><scratch file="/tmp/v.vda"/></disk>' +
        '<disk name="vdb" backup="yes" type="file" exportname="vdb" backupmode="full"><scratch file="/tmp/v.vdb"/></disk>' +
        '<disk name="sda" backup="no"/></disks></domainbackup>',
    );
    assert.equal(dirtyContext('vda'), 'qemu:dirty-bitmap:backup-vda');
  });

  for (const [tls, word] of [
    [true, 'yes'],
    [false, 'no'],
  ] as const) {
    it(`says ${word} to TLS where that is wanted`, () => {
      const xml = jobXml({ ...PLAN, server: { kind: 'tcp', host: '::1', port: 10_809, tls } });
      assert.match(xml, new RegExp(`<server transport="tcp" tls="${word}" name="::1" port="10809"/>`));
    });
  }
});

describe('parseJob', () => {
  it('finds the socket and the scratch files', () => {
    assert.deepEqual(parseJob(jobXml(PLAN)), { socket: '/run/v.sock', scratches: ['/tmp/v.vda', '/tmp/v.vdb'] });
  });

  it('finds none of a job over TCP, or one that libvirt placed', () => {
    const xml =
      "<domainbackup mode='pull'><server transport='tcp' port='1'/><disks><disk name='a'/></disks></domainbackup>";
    assert.deepEqual(parseJob(xml), { socket: null, scratches: [] });
  });

  it('refuses what is none', () => {
    assert.throws(() => parseJob('<domaincheckpoint/>'), { code: 'VB_LIBVIRT_XML' });
  });
});
