import assert from 'node:assert/strict';
import { parseFingerprints, parseOptions } from './options.js';
import { Redactor } from './redactor.js';
import { parseTarget } from './restore-target.js';
import { parseSelector } from './selector.js';

const UUID = '01234567-89ab-cdef-0123-456789abcdef';
const HEX = 'ab'.repeat(32);

describe('the options of xen', () => {
  it('take a url with a port and an IPv6 address', async () => {
    const options = await parseOptions({ url: 'https://[::1]:8443', password: 'secret' });
    assert.deepEqual(options.endpoint, { host: '::1', port: 8443 });
    assert.equal(options.user, 'root');
    assert.equal(options.insecureNbd, false);
  });

  it('refuse a url without TLS, and say nothing of a password in it', async () => {
    for (const url of ['http://host', 'host', 'https://root:hunter2@host', 'https://host/path', 'https://']) {
      await assert.rejects(parseOptions({ url, password: 'secret' }), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'VB_XEN_URL');
        assert.ok(!error.message.includes('hunter2'));
        return true;
      });
    }
  });

  it('name the option that is missing', async () => {
    await assert.rejects(parseOptions({ password: 'secret' }), { code: 'VB_PLUGIN_OPTION', message: /option url/ });
    await assert.rejects(parseOptions({ url: 'https://host' }), {
      code: 'VB_PLUGIN_OPTION',
      message: /option password/,
    });
  });

  it('refuse a CA file that is none', async () => {
    const values = { url: 'https://host', password: 'secret' };
    await assert.rejects(parseOptions({ ...values, ca: '/nowhere/ca.pem' }), { code: 'VB_XEN_CA' });
    await assert.rejects(parseOptions({ ...values, ca: '/etc/hostname' }), { code: 'VB_XEN_CA' });
  });

  it('take fingerprints as openssl prints them, one per host', () => {
    const colons = HEX.toUpperCase().replace(/(..)(?!$)/g, '$1:');
    assert.deepEqual(parseFingerprints(`sha256:${colons}, sha256:${HEX}`), [HEX, HEX]);
    for (const text of [HEX, `sha1:${HEX}`, `sha256:${HEX}00`, 'sha256:', '']) {
      assert.throws(() => parseFingerprints(text), { code: 'VB_XEN_FINGERPRINT' }, text);
    }
  });
});

describe('parseSelector', () => {
  it('takes the uuid of a disk, and a machine by uuid or name', () => {
    assert.deepEqual(parseSelector(UUID.toUpperCase()), { kind: 'disk', uuid: UUID });
    assert.deepEqual(parseSelector(`vm:${UUID}`), { kind: 'machine', nameOrUuid: UUID });
    assert.deepEqual(parseSelector('vm:Web Server: 1'), { kind: 'machine', nameOrUuid: 'Web Server: 1' });
  });

  it('takes nothing else for a disk', () => {
    for (const text of ['', 'vm:', 'lsit', UUID.slice(1), `vdi:${UUID}`, `${UUID} `]) {
      assert.throws(() => parseSelector(text), { code: 'VB_XEN_SELECTOR' }, text);
    }
  });
});

describe('parseTarget', () => {
  it('takes a storage repository and a name', () => {
    assert.deepEqual(parseTarget(`sr=${UUID}`), { sr: UUID, name: undefined });
    assert.deepEqual(parseTarget(`sr=${UUID},name=web, restored`), { sr: UUID, name: 'web, restored' });
  });

  it('refuses anything else', () => {
    for (const text of ['', 'sr=', UUID, `sr=${UUID},label=x`, `sr=${UUID},name=`, 'name=x']) {
      assert.throws(() => parseTarget(text), { code: 'VB_XEN_TARGET' }, text);
    }
  });
});

describe('Redactor', () => {
  it('hides secrets in plain text, in URLs, and session ids that it has never seen', () => {
    const redactor = new Redactor();
    redactor.add('OpaqueRef:1234-5678', 'session');
    const text = 'GET /x?session_id=OpaqueRef:1234-5678&a OpaqueRef%3A1234-5678 session_id=OpaqueRef:other&b';
    assert.equal(redactor.clean(text), 'GET /x?session_id=<session>&a <session> session_id=<session>&b');
  });
});
