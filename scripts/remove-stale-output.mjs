import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Removes compiled files whose source is gone: tsc leaves them, and mocha would still run them. */
export function removeStaleOutput(root) {
  const projects = ['lab', ...readdirSync(join(root, 'packages')).map((name) => join('packages', name))];
  for (const project of projects) {
    const dist = join(root, project, 'dist');
    if (!existsSync(dist)) continue;
    for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.js')) continue;
      const compiled = join(entry.parentPath ?? entry.path, entry.name);
      const source = join(root, project, 'src', compiled.slice(dist.length + 1).replace(/\.js$/, '.ts'));
      if (existsSync(source)) continue;
      for (const ending of ['.js', '.js.map', '.d.ts', '.d.ts.map'])
        rmSync(compiled.replace(/\.js$/, ending), { force: true });
    }
  }
}
