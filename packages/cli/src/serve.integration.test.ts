import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, copyFile, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { applyFiles, type ImageTarget } from '@vbackup/core';
import { NbdCredentials, requireTools } from '@vbackup/core/testing';
import * as v from 'valibot';
import { BIN } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';
import { ServeProcess } from './testing/serve-process.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 12 * MIB + 5 * KIB;
const FIXTURES = fileURLToPath(new URL('../../core/fixtures/sparse-stream/', import.meta.url));
const run = promisify(execFile);

const MAP = v.array(
  v.object({
    offset: v.number(),
    length: v.number(),
    type: v.number(),
  }),
);
const LIST = v.object({
  exports: v.array(
    v.object({
      'export-name': v.string(),
      'export-size': v.number(),
      description: v.string(),
      contexts: v.array(v.string()),
    }),
  ),
});

/** Half of it is text that LZ4 makes small. */
const content = (length: number): Buffer =>
  Buffer.concat([randomBytes(length / 2), Buffer.alloc(length / 2, 'vbackup ')]);

describe('vbackup serve', function () {
  this.timeout(120_000);
  let folder: CommandFolder;
  let credentials: NbdCredentials;
  /** Ids of the backups of `disk.raw` and `plain.raw`, the oldest first. */
  const ids: Record<'disk' | 'plain', string[]> = { disk: [], plain: [] };

  before(async function () {
    requireTools(this, ['nbdcopy', 'nbdinfo', 'qemu-img', 'openssl', 'python3']);
    folder = await CommandFolder.make();
    credentials = await NbdCredentials.make();
    for (const name of ['disk', 'plain'] as const) {
      await folder.file(`${name}.raw`, SIZE, [
        { offset: 0, bytes: content(2 * MIB) },
        { offset: 5 * MIB + 64 * KIB, bytes: content(MIB) },
        { offset: 12 * MIB, bytes: randomBytes(5 * KIB) },
      ]);
      await backUp(name);
      await change(name, { offset: MIB + 100, bytes: randomBytes(100) });
      await backUp(name);
      await change(
        name,
        { offset: 5 * MIB, bytes: Buffer.alloc(512 * KIB) },
        { offset: 9 * MIB, bytes: content(64 * KIB) },
      );
      await backUp(name);
    }
    await folder.done('export vma disk.raw@latest disk.vma -r repo');
    await copyFile(join(FIXTURES, 'A/vda.full.data'), folder.at('vda.full.data'));
    for (const name of await readdir(join(FIXTURES, 'A'))) {
      if (name.endsWith('.data')) await copyFile(join(FIXTURES, 'A', name), folder.at(name));
    }
  });
  after(async () => {
    await folder?.[Symbol.asyncDispose]();
    await credentials?.[Symbol.asyncDispose]();
  });

  async function backUp(name: 'disk' | 'plain'): Promise<void> {
    const compress = name === 'plain' ? ' --compress none' : '';
    const out = await folder.done(`backup --hypervisor file ${name}.raw -r repo${compress}`);
    ids[name].push(out.slice(0, 16));
    await copyFile(folder.at(`${name}.raw`), folder.at(`${name}.${ids[name].length}`));
  }

  async function change(name: string, ...fillings: readonly { offset: number; bytes: Buffer }[]): Promise<void> {
    await using file = await open(folder.at(`${name}.raw`), 'r+');
    for (const { offset, bytes } of fillings) await file.write(bytes, 0, bytes.length, offset);
  }

  const serve = (line: string): Promise<ServeProcess> => ServeProcess.start(line, { cwd: folder.path });

  const mapOf = async (uri: string, context = 'base:allocation'): Promise<v.InferOutput<typeof MAP>> =>
    v.parse(MAP, JSON.parse((await run('nbdinfo', ['--json', `--map=${context}`, uri])).stdout));

  /** The client’s own part of TLS, for libnbd. */
  const TLS = {
    clear: { serve: '', uri: (uri: string) => uri },
    x509: {
      serve: () => `--tls-certificates ${credentials.pki}`,
      uri: (uri: string) => `${uri}&tls-certificates=${credentials.pki}&tls-hostname=localhost`,
    },
    psk: {
      serve: () => `--tls-psk ${credentials.folder}/keys.psk`,
      uri: (uri: string) =>
        `${uri.replace('nbds+unix:///', 'nbds+unix://alice@/')}&tls-psk-file=${credentials.folder}/keys.psk`,
    },
  } as const;

  for (const [how, tls] of Object.entries(TLS)) {
    it(`shows every kind of disk to nbdcopy and qemu-img as it is, ${how}, by one and by eight connections`, async () => {
      await expectStream();
      const options = typeof tls.serve === 'string' ? tls.serve : tls.serve();
      const sources = `${ids.disk[2]} ${ids.plain[2]} ${ids.disk[0]} disk.vma disk.raw vda.inc.virtnbdbackup.2.data`;
      await using server = await serve(`${sources} -r repo --socket ${how}.sock ${options}`.trim());
      const kinds = {
        [`disk.raw/disk@${ids.disk[2]}`]: 'disk.3',
        'plain.raw/plain': 'plain.3',
        [`disk.raw/disk@${ids.disk[0]}`]: 'disk.1',
        'disk/drive-scsi0': 'disk.3',
        'disk.raw': 'disk.raw',
        'vda.inc.virtnbdbackup.2.data/vda': 'stream.raw',
      };
      for (const [name, file] of Object.entries(kinds)) {
        const uri = tls.uri(server.uri(name));
        for (const connections of [1, 8]) {
          await run('nbdcopy', [`--connections=${connections}`, uri, folder.at('copied.raw')]);
          const [copied, source] = [await readFile(folder.at('copied.raw')), await readFile(folder.at(file))];
          assert.ok(copied.equals(source), `${name} is not ${file}, by ${connections} connections`);
          await rm(folder.at('copied.raw'));
        }
        await checkMap(uri, file);
        if (how === 'clear') await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', uri, folder.at(file)]);
      }
      assert.deepEqual(server.errors, []);
    });
  }

  /** What is called a hole reads as zero, and the map is of all of the disk. */
  async function checkMap(uri: string, file: string): Promise<void> {
    const source = await readFile(folder.at(file));
    let end = 0;
    for (const { offset, length, type } of await mapOf(uri)) {
      assert.equal(offset, end);
      end += length;
      if (type !== 0)
        assert.ok(
          source.subarray(offset, end).every((byte) => byte === 0),
          `${offset}+${length}`,
        );
    }
    assert.equal(end, source.length);
  }

  /** What the golden chain is after its second increment. */
  async function expectStream(): Promise<void> {
    const image = Buffer.alloc(8 * MIB);
    const target: ImageTarget = {
      write: async (offset, bytes) => void bytes.copy(image, offset),
      zero: async (offset, length) => void image.fill(0, offset, offset + length),
    };
    const names = ['vda.full.data', 'vda.inc.virtnbdbackup.1.data', 'vda.inc.virtnbdbackup.2.data'];
    await applyFiles(
      names.map((name) => folder.at(name)),
      target,
    );
    await writeFile(folder.at('stream.raw'), image);
  }

  it('converts by qemu-img, and lists its exports with sizes, descriptions and contexts', async () => {
    await using server = await serve(`${ids.disk[2]} -r repo --socket list.sock`);
    const uri = server.uri('disk');
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, folder.at('disk.qcow2')]);
    await run('qemu-img', ['compare', folder.at('disk.qcow2'), folder.at('disk.3')]);
    const { stdout } = await run('nbdinfo', ['--list', '--json', uri]);
    const [shown] = v.parse(LIST, JSON.parse(stdout)).exports;
    assert.equal(shown?.['export-name'], 'disk');
    assert.equal(shown?.['export-size'], SIZE);
    assert.match(shown?.description ?? '', new RegExp(`^disk\\.raw, disk .*, backup ${ids.disk[2]} of 20`));
    assert.deepEqual(shown?.contexts, [
      'base:allocation',
      `vbackup:changed-since-${ids.disk[1]}`,
      `vbackup:changed-since-${ids.disk[0]}`,
    ]);
    assert.equal((await stat(folder.at('list.sock'))).mode % 0o1000, 0o600);
  });

  it('tells what changed since each other backup of the disk', async () => {
    await using server = await serve(`${ids.disk[1]} -r repo --socket changed.sock --export sda`);
    const uri = server.uri('sda');
    const dirty = async (id: string | undefined): Promise<(readonly [number, number])[]> =>
      (await mapOf(uri, `vbackup:changed-since-${id}`))
        .filter(({ type }) => type === 1)
        .map(({ offset, length }) => [offset, length] as const);
    assert.deepEqual(await dirty(ids.disk[0]), [[MIB, 64 * KIB]]);
    // Against a newer one: what that one lost, and what it has more.
    assert.deepEqual(await dirty(ids.disk[2]), [
      [5 * MIB + 64 * KIB, 448 * KIB],
      [9 * MIB, 64 * KIB],
    ]);
  });

  it('answers a damaged frame with an error that names it, once, and everything else as it is', async () => {
    await folder.done(`backup --hypervisor file plain.raw -r damaged --compress none`);
    const [file] = (await readdir(folder.at('damaged'), { recursive: true })).filter((name) =>
      name.endsWith('.full.data'),
    );
    const path = folder.at(`damaged/${file}`);
    const bytes = await readFile(path);
    const frame = bytes.indexOf(`data ${MIB.toString(16).padStart(16, '0')} `);
    assert.ok(frame > 0);
    bytes[frame + 5000] = (bytes[frame + 5000] ?? 0) + 1 - (bytes[frame + 5000] === 255 ? 256 : 0);
    await writeFile(path, bytes);
    await using server = await serve('plain.raw@latest -r damaged --socket damaged.sock');
    const uri = server.uri('plain');
    // It says what failed on standard output.
    const read = (offset: number): Promise<string> =>
      new Promise((resolve) => {
        execFile('qemu-io', ['-r', '-f', 'raw', '-c', `read ${offset} 4096`, uri], (_error, stdout) => resolve(stdout));
      });
    for (const offset of [0, MIB - 4096, 2 * MIB, 5 * MIB, 12 * MIB]) assert.match(await read(offset), /^read 4096/);
    for (const offset of [MIB, 2 * MIB - 4096, MIB]) assert.match(await read(offset), /Input\/output error/);
    const [error, ...more] = server.errors;
    assert.deepEqual(more, []);
    assert.equal(error?.code, 'VB_FRAME_DIGEST');
    assert.equal(error.subject, 'plain');
    assert.match(
      error.message,
      new RegExp(`disk plain: bytes ${MIB} to ${2 * MIB - 1} in .*plain\\.full\\.data at byte`),
    );
  });

  it('ends in order when it is told to, and takes its socket with it', async () => {
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
      await using server = await serve('disk.raw --socket stop.sock');
      await run('nbdinfo', [server.uri('disk.raw')]);
      server.kill(signal);
      assert.equal(await server.exit(), 0);
      await assert.rejects(access(folder.at('stop.sock')));
    }
  });

  it('ends with its terminal, and takes its socket with it', async () => {
    const script = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'nbd+unix' not in said: said += os.read(terminal, 4096)
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
    const words = [process.execPath, BIN, 'serve', folder.at('disk.raw'), '--socket', folder.at('terminal.sock')];
    const { stdout } = await run('python3', ['-c', script, ...words]);
    assert.equal(stdout.trim(), '0');
    await assert.rejects(access(folder.at('terminal.sock')));
  });

  it('goes on with the backup that it has open when somebody removes that', async () => {
    await folder.done('backup --hypervisor file plain.raw -r removed');
    await using server = await serve('plain.raw@latest -r removed --socket removed.sock');
    await rm(folder.at('removed'), { recursive: true });
    await run('nbdcopy', [server.uri('plain'), folder.at('removed.raw')]);
    assert.ok((await readFile(folder.at('removed.raw'))).equals(await readFile(folder.at('plain.raw'))));
    assert.deepEqual(server.errors, []);
  });

  it('serves one session with --once, in a socket of its own, whoever looked before', async () => {
    await using server = await serve('disk.raw --once');
    const uri = server.uri('disk.raw');
    await run('nbdinfo', ['--list', uri]);
    await run('nbdcopy', [uri, folder.at('once.raw')]);
    assert.equal(await server.exit(), 0);
    assert.ok((await readFile(folder.at('once.raw'))).equals(await readFile(folder.at('disk.raw'))));
    const socket = new URL(uri).searchParams.get('socket') ?? '';
    await assert.rejects(access(join(socket, '..')));
  });

  it('lets nobody in without a certificate where there is an authority', async () => {
    await using server = await serve(`disk.raw --listen 127.0.0.1:0 --tls-certificates ${credentials.pki}`);
    const uri = server.uri('disk.raw');
    await using stranger = await CommandFolder.make();
    await copyFile(join(credentials.pki, 'ca-cert.pem'), stranger.at('ca-cert.pem'));
    await assert.rejects(run('nbdinfo', [`${uri}?tls-certificates=${stranger.path}`]));
    await run('nbdinfo', [`${uri}?tls-certificates=${credentials.pki}`]);
  });

  it('refuses what would expose disks, and what it cannot serve, with a cure', async () => {
    const refusals: readonly (readonly [line: string, exitCode: number, code: string])[] = [
      ['disk.raw --listen 0.0.0.0:0', 1, 'VB_SERVE_EXPOSED'],
      ['disk.raw plain.raw --export one', 2, 'VB_CLI_USAGE'],
      ['disk.raw disk.raw', 2, 'VB_INVALID_ARGUMENT'],
      ['./missing.raw', 10, 'VB_FILE_NOT_FOUND'],
    ];
    for (const [line, exitCode, code] of refusals) await folder.refused(`serve ${line}`, exitCode, code);
    await run('zstd', ['-q', '-f', folder.at('disk.vma'), '-o', folder.at('disk.vma.zst')]);
    const error = await folder.refused('serve disk.vma.zst', 1, 'VB_UNSUPPORTED');
    assert.match(error, /compressed with zstd/);
    await rename(folder.at('vda.full.data'), folder.at('away'));
    await folder.refused('serve vda.inc.virtnbdbackup.2.data', 13, 'VB_CHAIN_MISSING');
    await rename(folder.at('away'), folder.at('vda.full.data'));
  });
});
