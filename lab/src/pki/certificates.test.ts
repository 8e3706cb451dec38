import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import tls from 'node:tls';
import { makeAuthority, selfSigned } from './certificates.js';

describe('certificates of the lab', () => {
  it('chain from a leaf to its authority, and to no other', async () => {
    const authority = await makeAuthority();
    const other = await makeAuthority();
    const leaf = new X509Certificate(
      (await authority.issue({ names: ['host.lab'], addresses: ['127.0.0.1', '::1'] })).certificate,
    );
    assert.equal(leaf.verify(new X509Certificate(authority.certificate).publicKey), true);
    assert.equal(leaf.verify(new X509Certificate(other.certificate).publicKey), false);
    assert.equal(leaf.checkHost('host.lab'), 'host.lab');
    assert.equal(leaf.checkHost('elsewhere.lab'), undefined);
    assert.equal(leaf.checkIP('127.0.0.1'), '127.0.0.1');
    assert.equal(leaf.checkIP('::1'), '::1');
  });

  it('give the fingerprint of the DER form', async () => {
    const made = await selfSigned({ names: ['host.lab'], keyType: 'ec' });
    const raw = new X509Certificate(made.certificate).raw;
    assert.equal(made.fingerprint, createHash('sha256').update(raw).digest('hex'));
  });

  it('serve TLS with mutual verification', async () => {
    const authority = await makeAuthority();
    const server = await authority.issue({ names: ['localhost'] });
    const client = await authority.issue({ names: ['alice'], clientAuth: true });
    const listener = tls.createServer({
      cert: server.certificate,
      key: server.key,
      ca: authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    listener.on('secureConnection', (socket) => socket.end(String(socket.authorized)));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    assert.ok(typeof address === 'object' && address !== null);
    const socket = tls.connect({
      host: '127.0.0.1',
      port: address.port,
      servername: 'localhost',
      ca: authority.certificate,
      cert: client.certificate,
      key: client.key,
    });
    const [answer] = await once(socket, 'data');
    assert.equal(String(answer), 'true');
    socket.destroy();
    listener.close();
  });
});
