import { processWorld } from './process-world.js';
import type { World } from './world.js';

/** Runs this process: called by `bin/vbackup.mjs` alone. */
export async function runProcess(): Promise<void> {
  const world = processWorld();
  let exitCode = await run(process.argv.slice(2), world);
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

async function run(args: readonly string[], world: World): Promise<number> {
  const [{ main }, { failureOf }] = await Promise.all([import('./main.js'), import('./failure.js')]);
  process.on('uncaughtException', (error) => {
    const { message, code, stack, exitCode } = failureOf(error);
    world.stderr.write(`vbackup: ${message} [${code}]\n${stack ?? ''}\n`);
    process.exit(exitCode);
  });
  return main(args, world);
}
