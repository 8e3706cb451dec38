import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, say } from './say.mjs';

const MANIFESTS = [
  'pnpm-lock.yaml',
  'pnpm-workspace.yaml',
  'package.json',
  'lab/package.json',
  ...['core', 'xen-plugin', 'libvirt-plugin', 'cli'].map((name) => `packages/${name}/package.json`),
];

/**
 * Installs what the lockfile names, through the pinned pnpm, unless the last installation was of the same files and its
 * `node` still runs.
 */
export function installDependencies({ root, packageManager, node }) {
  const hash = createHash('sha256');
  for (const path of MANIFESTS) hash.update(readFileSync(join(root, path)));
  const wanted = hash.digest('hex');
  const stamp = join(root, 'node_modules', '.vbackup-installed');
  const intact = runs(node);
  if (intact && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say(`installing dependencies (npx ${packageManager} install)`);
  // pnpm trusts its record of what is there, and npx would start itself with the checkout's Node.
  if (!intact) rmSync(join(root, 'node_modules'), { recursive: true, force: true });
  const { status, error } = spawnSync(
    'npx',
    ['--yes', packageManager, 'install', '--frozen-lockfile', '--reporter=append-only'],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, npm_config_loglevel: 'error' },
    },
  );
  if (error || status !== 0)
    fail(
      `npx ${packageManager} install did not succeed, see above: it needs the npm registry and a HOME that can be written`,
    );
  if (!runs(node)) fail(`${node} was installed and does not run on this machine`);
  writeFileSync(stamp, wanted);
}

const runs = (node) => spawnSync(node, ['--version'], { stdio: 'ignore' }).status === 0;
