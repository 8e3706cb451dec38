import { writeSync } from 'node:fs';
import { registerHooks } from 'node:module';

// For `node --import`: writes on one line at the end what was loaded, packages by name, and vbackup's own by module.
const OWN = /\/packages\/([^/]+)\/(?:dist\/)?([^?]+)\.m?js$/;
const FOREIGN = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/;

const seen = new Set<string>();

registerHooks({
  load: (url, context, next) => {
    const [, own, module] = OWN.exec(url) ?? [];
    const name = own === undefined ? FOREIGN.exec(url)?.[1] : `@vbackup/${own}/${module}`;
    if (name !== undefined) seen.add(name);
    return next(url, context);
  },
});

process.on('exit', () => void writeSync(1, `loaded: ${[...seen].sort().join(' ')}\n`));
