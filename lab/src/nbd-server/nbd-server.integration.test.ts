import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type NbdAddress, NbdServer, type NbdServerConnection, type NbdServerOptions } from '@vbackup/core';
import { MemoryExport, requireTools } from '@vbackup/core/testing';
import { type Authority, type IssuedCertificate, makeAuthority } from '../pki/index.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 32 * MIB;
const LOCAL = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

const run = promisify(execFile);

describe('the NBD server and real clients', function () {
  this.timeout(60_000);
  let folder: string;
  let authority: Authority;
  let certificate: IssuedCertificate;
  let source: MemoryExport;
  let image: string;

  before(async function () {
    requireTools(this, ['nbdinfo', 'nbdcopy', 'nbdsh', 'qemu-img', 'qemu-io']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-nbd-server-'));
    authority = await makeAuthority();
    certificate = await authority.issue({ names: ['localhost'], addresses: ['127.0.0.1'] });
    source = await sourceDisk();
    image = join(folder, 'source.raw');
    const content = Buffer.alloc(SIZE);
    await source.read(0, content);
    await writeFile(image, content);
  });

  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const listen = (options: Partial<NbdServerOptions> = {}): Promise<NbdServer> =>
    NbdServer.listen({
      address: LOCAL,
      open: async (name) => (name === 'disk' || name === '' ? source : null),
      list: async () => [{ name: 'disk', description: 'a disk in memory' }],
      ...options,
    });

  for (const kind of ['tcp', 'unix'] as const) {
    it(`show their exports to nbdinfo over ${kind}`, async () => {
      await using server = await listen(kind === 'tcp' ? {} : { address: { kind, path: join(folder, 'info.sock') } });
      const uri = uriOf(server.address, 'disk');
      const { stdout: listed } = await run('nbdinfo', ['--list', '--json', uriOf(server.address, '')]);
      assert.match(listed, /"export-name": "disk"/);
      assert.match(listed, /"description": "a disk in memory"/);
      const { stdout } = await run('nbdinfo', ['--json', uri]);
      const information: unknown = JSON.parse(stdout);
      assert.ok(isRecord(information) && Array.isArray(information['exports']));
      const [shown] = information['exports'];
      assert.equal(information['protocol'], 'newstyle-fixed');
      assert.equal(information['structured'], true);
      assert.equal(shown['export-size'], SIZE);
      assert.equal(shown['is_read_only'], false);
      assert.equal(shown['can_multi_conn'], true);
      assert.equal(shown['can_df'], true);
      assert.equal(shown['can_fua'], true);
      assert.equal(shown['block_size_maximum'], 32 * MIB);
      assert.deepEqual(shown['contexts'], ['base:allocation']);
    });

    it(`are copied by nbdcopy and compared by qemu-img over ${kind}`, async () => {
      await using server = await listen(kind === 'tcp' ? {} : { address: { kind, path: join(folder, 'copy.sock') } });
      const uri = uriOf(server.address, 'disk');
      const copy = join(folder, `copy-${kind}.raw`);
      await run('nbdcopy', ['--connections=4', uri, copy]);
      assert.ok((await readFile(copy)).equals(await readFile(image)));
      await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
      const converted = join(folder, `converted-${kind}.qcow2`);
      await run('qemu-img', ['convert', '-W', '-m', '8', '-f', 'raw', '-O', 'qcow2', uri, converted]);
      await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', uri, converted]);
    });
  }

  it('tell nbdinfo --map where the data is', async () => {
    await using server = await listen();
    const { stdout } = await run('nbdinfo', ['--map', '--json', uriOf(server.address, 'disk')]);
    const map: unknown = JSON.parse(stdout);
    assert.ok(Array.isArray(map));
    assert.deepEqual(
      map.map((part) => [part.offset, part.length, part.type]),
      [
        [0, MIB, 0],
        [MIB, 15 * MIB, 3],
        [16 * MIB, 5 * MIB, 0],
        [21 * MIB, 11 * MIB, 3],
      ],
    );
  });

  it('are filled by nbdcopy, holes as holes', async () => {
    const target = new MemoryExport({ size: SIZE });
    await using server = await listen({ open: async () => target });
    await run('nbdcopy', ['--flush', image, uriOf(server.address, '')]);
    const content = Buffer.alloc(SIZE);
    await target.read(0, content);
    assert.ok(content.equals(await readFile(image)));
    assert.ok(target.calls.zero + target.calls.trim > 0);
    assert.ok(target.calls.flush > 0);
  });

  it('take every write of qemu-io', async () => {
    const target = new MemoryExport({ size: SIZE });
    await using server = await listen({ open: async () => target });
    const commands = ['write -P 0x11 0 1M', 'write -f -P 0x22 1M 64k', 'write -z 128k 64k', 'write -zu 256k 128k'];
    const checks = ['discard 512k 64k', 'flush', 'read -P 0x11 0 128k', 'read -P 0 128k 64k', 'read -P 0x22 1M 64k'];
    const flags = [...commands, ...checks].flatMap((command) => ['-c', command]);
    const { stdout } = await run('qemu-io', [
      '-t',
      'none',
      '-d',
      'unmap',
      '-f',
      'raw',
      ...flags,
      uriOf(server.address, ''),
    ]);
    assert.doesNotMatch(stdout, /fail|error/i);
    assert.ok(target.calls.fua > 0 && target.calls.trim > 0 && target.calls.zero > 0 && target.calls.flush > 0);
    const read = Buffer.alloc(4);
    await target.read(256 * KIB, read);
    assert.deepEqual(read, Buffer.alloc(4));
  });

  it('refuse a write where they are read-only, and a name that they do not have', async () => {
    const target = new MemoryExport({ size: SIZE, readOnly: true });
    await using server = await listen({ open: async (name) => (name === 'disk' ? target : null) });
    await assert.rejects(run('nbdcopy', [image, uriOf(server.address, 'disk')]));
    await assert.rejects(run('nbdinfo', [uriOf(server.address, 'nothing')]), /no such export|No such file/);
    assert.equal(target.calls.write, 0);
  });

  it('are read by a client that is told of 4 KiB blocks', async () => {
    const target = new MemoryExport({ size: SIZE, minimumBlock: 4 * KIB, maximumBlock: 64 * KIB });
    await using server = await listen({ open: async () => target });
    const uri = uriOf(server.address, '');
    await run('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri]);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
    // libnbd 1.14 reads the limits and does not heed them: it must hear of it, and lose nothing else.
    await assert.rejects(run('nbdcopy', ['--request-size=131072', image, uri]), /Invalid argument/);
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri]);
  });

  it('answer what libnbd is made to ask wrongly, and go on', async () => {
    const disk = new MemoryExport({ size: SIZE, minimumBlock: 512 });
    await using server = await listen({ open: async () => disk });
    // Without its strict mode libnbd sends what it knows to be wrong. EINVAL is 22, ENOSPC 28.
    const script = `
h.set_strict_mode(0)
h.add_meta_context("base:allocation")
h.connect_uri(uri)
size = h.get_size()
def refused(ask, *rest):
    try:
        ask(*rest)
    except nbd.Error as error:
        return error.errnum
answers = [
    refused(h.pread, 512, size), refused(h.pread, 1024, size - 512), refused(h.pread, 512, 2**63 - 512),
    refused(h.pread, 512, 1), refused(h.pread, 100, 0), refused(h.pread, 0, 0),
    refused(h.pwrite, bytes(512), size), refused(h.pwrite, bytes(512), 1), refused(h.zero, 1024, size - 512),
    refused(h.trim, 1024, size - 512), refused(h.cache, 512, 0), refused(h.block_status, 1024, size - 512, lambda *a: 0),
    refused(h.pread, 512, 0), refused(h.pwrite, bytes(512), 0, nbd.CMD_FLAG_FUA)]
print(answers)
h.shutdown()
`;
    // The binding belongs to the system's own Python.
    const set = `uri = ${JSON.stringify(uriOf(server.address, 'disk'))}`;
    const { stdout } = await run('nbdsh', ['-c', set, '-c', script], { env: { PATH: '/usr/bin:/bin' } });
    assert.equal(stdout.trim(), '[22, 22, 22, 22, 22, None, 28, 22, 28, 22, 22, 22, None, None]');
    assert.equal(disk.calls.fua, 1);
  });

  it('serve libnbd and qemu over TLS, to clients that trust the authority and to no other', async () => {
    const certificates = join(folder, 'pki');
    await run('mkdir', ['-p', certificates]);
    await writeFile(join(certificates, 'ca-cert.pem'), authority.certificate);
    const seen: NbdServerConnection[] = [];
    await using server = await listen({
      tls: { kind: 'x509', ...certificate },
      open: async (_name, connection) => {
        seen.push(connection);
        return source;
      },
    });
    const uri = uriOf(server.address, 'disk', 'nbds', `?tls-certificates=${certificates}`);
    const copy = join(folder, 'copy-tls.raw');
    await run('nbdcopy', [uri, copy]);
    assert.ok((await readFile(copy)).equals(await readFile(image)));
    assert.ok(seen.every((connection) => connection.secure && connection.certificate === undefined));
    await run('qemu-img', [
      'compare',
      ...qemuTls(`tls-creds-x509,id=tls0,dir=${certificates},endpoint=client`),
      ...qemuSources(image, server.address),
    ]);

    await assert.rejects(run('nbdinfo', ['--size', uriOf(server.address, 'disk')]), /requires TLS/);
    await writeFile(join(certificates, 'ca-cert.pem'), (await makeAuthority()).certificate);
    await assert.rejects(run('nbdinfo', [uri]), 'another authority');
  });

  it('ask for a client certificate where they are told to', async () => {
    const nobodys = { kind: 'x509', ...certificate, requireClientCertificate: true } as const;
    await assert.rejects(listen({ tls: nobodys }), { code: 'VB_INVALID_ARGUMENT' });
    const certificates = join(folder, 'pki-mutual');
    await run('mkdir', ['-p', certificates]);
    const names: (string | undefined)[] = [];
    await using server = await listen({
      tls: { kind: 'x509', ...certificate, ca: authority.certificate, requireClientCertificate: true },
      open: async (_name, connection) => {
        names.push(connection.certificate?.subject);
        return source;
      },
    });
    const uri = uriOf(server.address, 'disk', 'nbds', `?tls-certificates=${certificates}`);
    await writeFile(join(certificates, 'ca-cert.pem'), authority.certificate);
    await assert.rejects(run('nbdinfo', [uri]), 'without a certificate');
    for (const issuer of [await makeAuthority(), authority]) {
      const client = await issuer.issue({ names: ['alice'], clientAuth: true });
      await writeFile(join(certificates, 'client-cert.pem'), client.certificate);
      await writeFile(join(certificates, 'client-key.pem'), client.key);
      if (issuer === authority) await run('nbdinfo', [uri]);
      else await assert.rejects(run('nbdinfo', [uri]), 'a certificate of somebody else');
    }
    assert.deepEqual(new Set(names), new Set(['CN=alice']));
  });

  it('serve libnbd and qemu over TLS with a pre-shared key', async () => {
    const key = randomBytes(32);
    const keys = join(folder, 'keys.psk');
    await writeFile(keys, `alice:${key.toString('hex')}\n`);
    const identities = new Set<string | undefined>();
    await using server = await listen({
      tls: { kind: 'psk', keys: new Map([['alice', key]]) },
      open: async (_name, connection) => {
        identities.add(connection.identity);
        return source;
      },
    });
    const uri = (user: string) => uriOf(server.address, 'disk', 'nbds', `?tls-psk-file=${keys}`, user);
    const copy = join(folder, 'copy-psk.raw');
    await run('nbdcopy', [uri('alice'), copy]);
    assert.ok((await readFile(copy)).equals(await readFile(image)));
    const credentials = `tls-creds-psk,id=tls0,dir=${folder},endpoint=client,username=alice`;
    await run('qemu-img', ['compare', ...qemuTls(credentials), ...qemuSources(image, server.address)]);
    assert.deepEqual(identities, new Set(['alice']));
    await writeFile(keys, `alice:${randomBytes(32).toString('hex')}\nbob:${key.toString('hex')}\n`);
    await assert.rejects(run('nbdinfo', [uri('alice')]), 'another key');
    await assert.rejects(run('nbdinfo', [uri('bob')]), 'another identity');
  });
});

/** A disk with two islands of data. */
async function sourceDisk(): Promise<MemoryExport> {
  const disk = new MemoryExport({ name: 'disk', description: 'a disk in memory', size: SIZE });
  await disk.write(0, randomBytes(MIB));
  await disk.write(16 * MIB, randomBytes(5 * MIB));
  return disk;
}

function uriOf(address: NbdAddress, name: string, scheme = 'nbd', query = '', user = ''): string {
  if (address.kind === 'unix') return `${scheme}+unix:///${name}?socket=${address.path}`;
  return `${scheme}://${user === '' ? '' : `${user}@`}${address.host}:${address.port}/${name}${query}`;
}

const qemuTls = (credentials: string): string[] => ['--object', credentials];

function qemuSources(image: string, address: NbdAddress): string[] {
  assert.ok(address.kind === 'tcp');
  const remote = [
    'driver=raw',
    'file.driver=nbd',
    'file.server.type=inet',
    `file.server.host=${address.host}`,
    `file.server.port=${address.port}`,
    'file.export=disk',
    'file.tls-creds=tls0',
  ];
  return ['--image-opts', `driver=raw,file.driver=file,file.filename=${image}`, remote.join(',')];
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
