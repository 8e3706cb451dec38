import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type * as CoreModule from '@vbackup/core';
import type { NbdAddress, NbdServerTls } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { FaultLines } from '../serve/fault-lines.js';
import { listenAddress } from '../serve/listen-address.js';
import { openDisks } from '../serve/open-disks.js';
import { Sources } from '../serve/open-sources.js';
import { makePrivateFolder } from '../serve/private-folder.js';
import { usageError } from '../usage.js';
import type { CommandContext, Outcome } from './command.js';

type Core = typeof CoreModule;

/** Shows disks of backups, archives and images to NBD clients, until it is told to stop. */
export async function serve(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const core = await import('@vbackup/core');
  const tls = await tlsOf(context, core);
  const listen = options.text('listen');
  const tcp = listen === undefined ? undefined : listenAddress(listen);
  if (tcp !== undefined && !options.flag('insecure')) core.checkExposure(tcp, tls);
  using cache = core.servedCache();
  await using sources = new Sources(context, { core, cache });
  for (const word of invocation.operands) await sources.add(word);
  await using disks = await openDisks(context, core, named(core, sources, options.text('export')));
  await using place = await placeOf(context, tcp);
  const faults = new FaultLines(output);
  await using server = await core.DiskServer.listen({
    disks: disks.opened,
    address: place.address,
    socketMode: options.number('socket-mode'),
    tls,
    once: options.flag('once'),
    onFault: faults.disk,
    onConnectionError: faults.connection,
  });
  const shown = disks.opened.map((disk) => ({
    name: disk.name,
    uri: server.uriOf(disk),
    size: disk.size,
    description: disk.description,
    writable: disk.writes !== undefined,
  }));
  output.item({ type: 'summary', scope: 'item', command: 'serve', exports: shown });
  await Promise.race([server.finished, aborted(signal)]);
  return { done: shown.length, failed: 0, exitCode: EXIT.done };
}

/** Every disk under a name of its own, or the only one under the name that was chosen. @throws VBackupError VB_CLI_USAGE */
function named(core: Core, { opened }: Sources, chosen: string | undefined): ReturnType<Core['exportNames']> {
  const exports = core.exportNames(opened);
  const [only] = exports;
  if (only === undefined) throw usageError('there is no disk to serve');
  if (chosen === undefined) return exports;
  if (exports.length === 1) return [{ ...only, name: chosen }];
  throw usageError(
    `--export names one disk, and there are ${exports.length}`,
    `choose with --disk: ${exports.map(({ name }) => name).join(', ')}`,
  );
}

async function tlsOf(
  { invocation: { options }, world }: CommandContext,
  core: Core,
): Promise<NbdServerTls | undefined> {
  const folder = options.text('tls-certificates');
  const file = options.text('tls-psk');
  if (folder !== undefined) return core.loadCertificates(resolve(world.cwd, folder));
  return file === undefined ? undefined : core.loadKeys(resolve(world.cwd, file));
}

interface Place extends AsyncDisposable {
  readonly address: NbdAddress;
}

/** Where clients find the server: what was named, else a socket in a folder of its own, which goes with it. */
async function placeOf(
  { invocation: { options }, world }: CommandContext,
  tcp: NbdAddress | undefined,
): Promise<Place> {
  const keep = async (): Promise<void> => {};
  if (tcp !== undefined) return { address: tcp, [Symbol.asyncDispose]: keep };
  const socket = options.text('socket');
  if (socket !== undefined) {
    return { address: { kind: 'unix', path: resolve(world.cwd, socket) }, [Symbol.asyncDispose]: keep };
  }
  const folder = await makePrivateFolder(world.env);
  return {
    address: { kind: 'unix', path: join(folder, 'nbd.sock') },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
}
