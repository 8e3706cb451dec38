import { processWorld } from './process-world.js';
import { version } from './version.js';
import type { World } from './world.js';

/** What a command line of one word may be that is answered before anything else is loaded. */
const VERSION_FLAGS: readonly (string | undefined)[] = ['--version', '-V'];

/** Runs this process: called by `bin/vbackup.mjs` alone. */
export async function runProcess(): Promise<void> {
  const world = processWorld();
  const args = process.argv.slice(2);
  let exitCode = args.length === 1 && VERSION_FLAGS.includes(args[0]) ? tellVersion(world) : await run(args, world);
  try {
    await world.stdout.drain();
  } catch (error) {
    const [{ EXIT }, { failureOf }] = await Promise.all([import('./exit-codes.js'), import('./failure.js')]);
    world.stderr.write(`vbackup: cannot write standard output: ${failureOf(error).message} [VB_IO]\n`);
    if (exitCode === EXIT.done) exitCode = EXIT.failed;
  }
  // Sockets that a peer keeps open must not keep the command from ending.
  process.exit(exitCode);
}

function tellVersion(world: World): number {
  world.stdout.write(`vbackup ${version()}\n`);
  return 0;
}

async function run(args: readonly string[], world: World): Promise<number> {
  const [{ main }, { failureOf }] = await Promise.all([import('./main.js'), import('./failure.js')]);
  process.on('uncaughtException', (error) => {
    const { message, code, stack, exitCode } = failureOf(error);
    world.stderr.write(`vbackup: ${message} [${code}]\n${stack ?? ''}\n`);
    process.exit(exitCode);
  });
  return main(args, world);
}
