import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A plugin that tells, as the guest's name, which values it got. */
const SOURCE = `export const plugin = {
  name: 'test',
  description: 'of the tests',
  options: {
    url: { type: 'string', description: 'where', placeholder: 'URL', required: true },
    ca: { type: 'file', description: 'certificates' },
    fast: { type: 'boolean', description: 'hurry' },
    retries: { type: 'number', description: 'how often' },
    zone: { type: 'string', description: 'which part', placeholder: 'NAME', alias: 'zone' },
    careful: { type: 'boolean', description: 'take care', alias: 'careful' },
    depth: { type: 'number', description: 'an alias that is taken', alias: 'level' },
    password: { type: 'string', description: 'secret', secret: true, required: true, alias: 'password' },
  },
  register() {},
  async connect(values, { onWarning }) {
    if (values.url === 'down') throw new Error('the plugin is broken');
    onWarning({ code: 'VB_CLEANUP_INCOMPLETE', message: 'connected to ' + values.url });
    return {
      find: async (id) => ({ id, name: JSON.stringify(values), kind: 'disk' }),
      target: async (rest) => async () => { throw new Error('target ' + rest); },
      existingDisks: async ({ target, disks }) =>
        disks.map((disk) => ({
          label: disk + ' of ' + target,
          open: async () => {
            if (target === disk) throw Object.assign(new Error('it is small'), { code: 'VB_TARGET_SIZE' });
            return { [Symbol.asyncDispose]: async () => onWarning({ code: 'VB_CLEANUP_INCOMPLETE', message: 'closed ' + disk }) };
          },
        })),
      prepareMachine: async ({ name = 'web01', disks, folder, force }) => {
        if (name === 'taken') throw Object.assign(new Error('it is taken'), { code: 'VB_PLUGIN_TAKEN' });
        const id = [folder, force, ...disks.map((disk) => disk.name + '=' + disk.path + ':' + disk.format)].join(' ');
        return { name, define: async () => ({ name, id }) };
      },
      async *diagnose() { yield { name: 'cbt', state: 'bad', detail: 'is off', cure: 'switch it on' }; },
      async [Symbol.asyncDispose]() { if (values.url === 'broken') throw new Error('it sulks'); },
    };
  },
};`;

/** Writes the plugin and a configuration that names it into a folder. @returns the configuration's path */
export async function writeTestPlugin(folder: string, configuration = ''): Promise<string> {
  await writeFile(join(folder, 'plugin.mjs'), SOURCE);
  const path = join(folder, 'config.toml');
  await writeFile(path, `${configuration}\n[plugins]\ntest = "./plugin.mjs"\n`);
  return path;
}
