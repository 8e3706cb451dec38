import { rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { EXIT } from '../exit-codes.js';
import { FaultLines } from '../serve/fault-lines.js';
import { openDisks } from '../serve/open-disks.js';
import { Sources } from '../serve/open-sources.js';
import { makePrivateFolder } from '../serve/private-folder.js';
import { usageError } from '../usage.js';
import type { World } from '../world.js';
import type { CommandContext, Outcome } from './command.js';

/** Shows disks as files in a folder, or the files on them, until they are unmounted or it is told to stop. */
export async function mount(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal, world } = context;
  const { options, operands } = invocation;
  const [source, directory] = operands;
  if (source === undefined || directory === undefined) throw usageError('mount needs a source and a folder');
  const core = await import('@vbackup/core');
  using cache = core.servedCache();
  await using sources = new Sources(context, { core, cache });
  await sources.add(source);
  await using disks = await openDisks(context, core, core.exportNames(sources.opened));
  await using socket = await privateSocket(world.env);
  const faults = new FaultLines(output);
  await using server = await core.DiskServer.listen({
    disks: disks.opened,
    address: { kind: 'unix', path: socket.path },
    onFault: faults.disk,
    onConnectionError: faults.connection,
  });
  const shown = disks.opened.map((disk) => ({
    name: disk.name,
    uri: server.uriOf(disk),
    writable: disk.writes !== undefined,
  }));
  const filesystem = options.text('filesystem');
  const how = options.flag('files') || filesystem !== undefined ? core.mountFiles : core.mountImages;
  await using mounted = await how({ directory: resolve(world.cwd, directory), disks: shown, filesystem, signal });
  output.item({ type: 'summary', scope: 'item', command: 'mount', directory, paths: mounted.paths });
  await Promise.race([mounted.ended, aborted(signal)]);
  return { done: shown.length, failed: 0, exitCode: EXIT.done };
}

/** Ends mounts, of whichever process, which ends then. */
export async function umount({ invocation, output, world }: CommandContext): Promise<Outcome> {
  const [directory] = invocation.operands;
  if (directory === undefined) throw usageError('umount needs a folder');
  const { unmount } = await import('@vbackup/core/mount');
  const paths = await unmount(resolve(world.cwd, directory));
  output.item({ type: 'summary', scope: 'item', command: 'umount', directory, paths });
  return { done: paths.length, failed: 0, exitCode: EXIT.done };
}

/** In a folder that only this user can enter, which goes with it. */
async function privateSocket(env: World['env']): Promise<AsyncDisposable & { readonly path: string }> {
  const folder = await makePrivateFolder(env);
  return {
    path: join(folder, 'nbd.sock'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
}
