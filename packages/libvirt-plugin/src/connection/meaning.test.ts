import assert from 'node:assert/strict';
import { isLibvirtError, libvirtError } from './errors.js';

const error = (method: string, code: number, message = 'in its words') =>
  libvirtError(method, { code, domain: 10, message });

describe('libvirtError', () => {
  for (const [method, number, code] of [
    ['findDomain', 42, 'VB_LIBVIRT_NO_DOMAIN'],
    ['abortJob', 55, 'VB_LIBVIRT_INVALID_STATE'],
    ['beginBackup', 68, 'VB_LIBVIRT_BUSY'],
    ['beginBackup', 87, 'VB_LIBVIRT_BUSY'],
    ['createCheckpoint', 67, 'VB_LIBVIRT_UNSUPPORTED'],
    ['beginBackup', 84, 'VB_LIBVIRT_UNSUPPORTED'],
    ['beginBackup', 74, 'VB_LIBVIRT_UNSUPPORTED'],
    ['freeze', 74, 'VB_LIBVIRT_NO_AGENT'],
    ['fileSystems', 74, 'VB_LIBVIRT_NO_AGENT'],
    ['freeze', 86, 'VB_LIBVIRT_AGENT_UNRESPONSIVE'],
    ['thaw', 97, 'VB_LIBVIRT_AGENT_UNRESPONSIVE'],
    ['checkpointXml', 103, 'VB_LIBVIRT_NO_CHECKPOINT'],
    ['backupXml', 104, 'VB_LIBVIRT_NO_BACKUP_JOB'],
    ['beginBackup', 109, 'VB_LIBVIRT_CHECKPOINT_INCONSISTENT'],
    ['domainXml', 29, 'VB_LIBVIRT_READ_ONLY'],
    ['domainXml', 88, 'VB_LIBVIRT_ACCESS_DENIED'],
    ['domainXml', 39, 'VB_LIBVIRT_CLOSED'],
    ['freeze', 1, 'VB_LIBVIRT_FAILED'],
    ['defineDomain', 9, 'VB_LIBVIRT_FAILED'],
    ['defineDomain', 9999, 'VB_LIBVIRT_FAILED'],
    ['open', 38, 'VB_LIBVIRT_CONNECT'],
    ['open', 39, 'VB_LIBVIRT_CONNECT'],
    ['open', 45, 'VB_LIBVIRT_AUTHENTICATION'],
    ['open', 79, 'VB_LIBVIRT_AUTHENTICATION'],
    ['open', 88, 'VB_LIBVIRT_ACCESS_DENIED'],
    ['open', 40, 'VB_LIBVIRT_TLS'],
  ] as const) {
    it(`makes ${code} of the number ${number} in answer to ${method}`, () => {
      assert.equal(error(method, number).code, code);
    });
  }

  it('knows a certificate that is wrong by the words only', () => {
    const words = "Cannot read CA certificate '/etc/pki/CA/cacert.pem': No such file or directory";
    assert.equal(error('open', 38, words).code, 'VB_LIBVIRT_TLS');
    assert.equal(error('domainXml', 38, words).code, 'VB_LIBVIRT_FAILED');
  });

  it("says what could not be done, and why in libvirt's words, in one line", () => {
    const made = error('freeze', 86, 'Guest agent is not responding: \n QEMU guest agent is not connected\n');
    assert.equal(
      made.message,
      'cannot freeze the file systems of the guest: Guest agent is not responding:; QEMU guest agent is not connected',
    );
    assert.deepEqual([made.libvirtCode, made.libvirtDomain], [86, 10]);
    assert.match(made.cure ?? '', /qemu-guest-agent/);
  });

  it('can be asked for', () => {
    assert.equal(isLibvirtError(error('findDomain', 42), 'VB_LIBVIRT_BUSY', 'VB_LIBVIRT_NO_DOMAIN'), true);
    assert.equal(isLibvirtError(error('findDomain', 42), 'VB_LIBVIRT_BUSY'), false);
    assert.equal(isLibvirtError(new Error('another')), false);
  });
});
