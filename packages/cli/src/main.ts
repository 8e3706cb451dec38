import type { PluginDescription } from '@vbackup/core';
import type { DependencyContainer } from 'tsyringe';
import { BUILT_IN_PLUGINS } from './built-in-plugins.js';
import type { CommandContext } from './commands/command.js';
import { COMMANDS } from './commands/commands.js';
import type { Configuration } from './configuration/configuration.js';
import { repositoryPath } from './configuration/paths.js';
import { EXIT } from './exit-codes.js';
import { failureOf } from './failure.js';
import { readCommandLine } from './grammar/command-line.js';
import { withFifoFlag } from './grammar/fifo-flag.js';
import type { Invocation } from './grammar/invocation.js';
import { checkForeignAliases, checkPluginFlags, unknownFlags } from './grammar/plugin-flags.js';
import { COMMAND_NAMES } from './grammar/program.js';
import { type Scan, scan } from './grammar/scan.js';
import { Interruption } from './interruption.js';
import { Output } from './output/output.js';
import { fallbackRenderers, renderersFor } from './output/renderers.js';
import { Plugins } from './plugins.js';
import { version } from './version.js';
import type { World } from './world.js';

/**
 * The program: reads the arguments, does the work, tells what came of it.
 * @returns the exit code; it does not throw
 */
export async function main(args: readonly string[], world: World): Promise<number> {
  const seen = scan(args);
  const configuration = once(async () => {
    const { loadConfiguration } = await import('./configuration/configuration.js');
    return loadConfiguration(world, seen.config);
  });
  const container = once(newContainer);
  const plugins = new Plugins(container, world, configuration);
  let invocation: Invocation | undefined;
  let output: Output;
  try {
    const used = await pluginsIn(seen, plugins);
    checkPluginFlags(seen, used, Object.keys(BUILT_IN_PLUGINS));
    const unknown = unknownFlags(seen, used);
    if (unknown.length > 0) checkForeignAliases(unknown, seen, await builtIn(plugins));
    invocation = readCommandLine({
      args: withFifoFlag(withCommand(args, seen)),
      plugins: used,
      world,
      version: version(),
    });
    if (invocation === undefined) return EXIT.done;
    output = new Output(world, invocation.command, renderersFor(world, invocation));
  } catch (error) {
    const failure = failureOf(error);
    new Output(world, 'backup', fallbackRenderers(world, seen)).error(failure);
    return failure.exitCode;
  }
  return await run({ world, invocation, output, plugins, configuration });
}

/** Loaded on first use, as it takes longer than `--version`. Each run has its own: plugins stay where they are used. */
async function newContainer(): Promise<DependencyContainer> {
  await import('reflect-metadata');
  const { container } = await import('tsyringe');
  return container.createChildContainer();
}

/** Plugins whose flags may stand among the arguments; for help, all that come with vbackup. */
async function pluginsIn({ hypervisor, words, help }: Scan, plugins: Plugins): Promise<PluginDescription[]> {
  const named = [hypervisor, ...(help ? Object.keys(BUILT_IN_PLUGINS) : [])].filter((name) => name !== undefined);
  const targets = words.includes('restore') ? words.map((word) => /^([a-z][a-z0-9-]*):(?!\/\/)/.exec(word)?.[1]) : [];
  const used = new Map<string, PluginDescription>();
  for (const name of named) used.set(name, await plugins.describe(name));
  for (const name of targets.filter((target) => target !== undefined)) {
    const plugin = await plugins.find(name);
    if (plugin !== undefined) used.set(name, plugin);
  }
  return [...used.values()];
}

const builtIn = (plugins: Plugins): Promise<PluginDescription[]> =>
  Promise.all(Object.keys(BUILT_IN_PLUGINS).map((name) => plugins.describe(name)));

/** `vbackup --hypervisor xen --help` asks for the help of `backup`. */
function withCommand(args: readonly string[], { hypervisor, help, words }: Scan): readonly string[] {
  const isBackup = hypervisor !== undefined && help && !words.some((word) => COMMAND_NAMES.includes(word));
  return isBackup ? ['backup', ...args] : args;
}

interface Run {
  readonly world: World;
  readonly invocation: Invocation;
  readonly output: Output;
  readonly plugins: Plugins;
  readonly configuration: () => Promise<Configuration>;
}

async function run({ world, invocation, output, plugins, configuration }: Run): Promise<number> {
  const startedAt = world.now();
  // A server is stopped by a signal: that is no interruption of its work.
  const isServer = ['serve', 'mount'].includes(invocation.command);
  using interruption = new Interruption(world, (message) => {
    if (!isServer) output.warning('VB_CLI_INTERRUPTED', message);
  });
  const where = once(async () => {
    const flag = invocation.options.text('repository');
    return repositoryPath(world, flag, (await configuration()).repository);
  });
  const { signal } = interruption;
  const context: CommandContext = {
    world,
    invocation,
    output,
    signal,
    plugins,
    configuration,
    version: version(),
    work: world.work,
    repositoryPath: where,
    repository: async ({ create }) => (await world.work()).openRepository(await where(), { create, signal }),
  };
  try {
    output.start(context.version);
    const command = await COMMANDS[invocation.command]();
    const outcome = await command(context);
    output.finish({ ...outcome, elapsedMs: world.now() - startedAt });
    return outcome.exitCode;
  } catch (error) {
    const failure = failureOf(error);
    const exitCode = interruption.exitCode ?? failure.exitCode;
    output.error({ ...failure, exitCode });
    return exitCode;
  } finally {
    output.close();
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
