#!/usr/bin/env node
// What `npm test`, `npm run demo` and `npm run bench` start: it installs what is missing, builds, and runs the command
// with the checkout's own Node. It needs nothing but Node 20 and npm, and is quick when everything is there already.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { installDebianPackages } from './install-debian-packages.mjs';
import { installDependencies } from './install-dependencies.mjs';
import { removeStaleOutput } from './remove-stale-output.mjs';
import { fail, say } from './say.mjs';

/** Test files at once: their servers and guests want memory as well. */
const MOST_JOBS = 4;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [command = '', ...rest] = process.argv.slice(2);

// Ctrl-C reaches what runs here as well; its end is waited for, so that it can clean up.
process.on('SIGINT', () => {});

/** Runs a program of the checkout with the checkout's Node, and ends with its exit code if it fails. */
function run(program, args) {
  const bin = join(root, 'node_modules', 'node', 'bin');
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${join(root, 'node_modules', '.bin')}${delimiter}${process.env.PATH}`,
  };
  const { status, signal, error } = spawnSync(program, args, { cwd: root, env, stdio: 'inherit' });
  if (error) fail(`cannot run ${program}: ${error.message}`);
  if (signal) process.kill(process.pid, signal);
  if (status !== 0) process.exit(status ?? 1);
}

const node = join(root, 'node_modules', 'node', 'bin', 'node');

function prepare() {
  if (Number(process.versions.node.split('.')[0]) < 20) fail(`Node 20 or newer is needed, this is ${process.version}`);
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  installDependencies({ root, packageManager, node });
  removeStaleOutput(root);
  say('building (tsc -b)');
  run(node, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b']);
}

/** Whether this machine lets this user mount every file system that tests are run on; each is tried, and says why not. */
async function canMount() {
  const fixture = join(root, 'packages', 'core', 'dist', 'testing', 'mounted-file-system.js');
  const { kindsNotMountable } = await import(pathToFileURL(fixture).href);
  const kinds = kindsNotMountable();
  if (kinds.length > 0) say(`tests that need these mounts will be SKIPPED: ${kinds.join(', ')}`);
  return kinds.length === 0;
}

const commands = {
  demo: () => run(node, [join(root, 'lab', 'dist', 'demo', 'main.js'), ...rest]),
  bench() {
    installDebianPackages();
    run(node, [join(root, 'lab', 'dist', 'bench', 'main.js'), ...rest]);
  },
  lint() {
    run(join(root, 'node_modules', '.bin', 'biome'), ['check', '.']);
    run(join(root, 'node_modules', '.bin', 'oxlint'), ['--type-aware', '--deny-warnings']);
  },
  async test() {
    installDebianPackages();
    const isStrict = process.env.CI === 'true' && (await canMount());
    const specs = rest.length > 0 ? rest : ['packages/*/dist/**/*.test.js', 'lab/dist/**/*.test.js'];
    say('running the tests');
    run(node, [
      join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'),
      '--reporter',
      join(root, 'scripts', 'reporter.cjs'),
      // Files side by side, half of their time is spent waiting. One after the other: pnpm mocha, which also ends only if
      // nothing is left open.
      '--parallel',
      '--jobs',
      String(Math.max(2, Math.min(availableParallelism(), MOST_JOBS))),
      // In CI a skipped test is a failure; what is missing is one as well.
      ...(isStrict ? ['--forbid-pending'] : []),
      ...specs,
    ]);
  },
};
if (!Object.hasOwn(commands, command))
  fail(`usage: node scripts/run.mjs ${Object.keys(commands).join('|')} [arguments]`);
prepare();
await commands[command]();
