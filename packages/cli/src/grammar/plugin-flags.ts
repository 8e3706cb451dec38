import type { HypervisorPlugin } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { variableName } from '../configuration/secrets.js';
import type { Scan } from './scan.js';

/**
 * Refuses secrets as arguments, and options of a hypervisor that is not in use. Values are never looked at.
 * @throws VBackupError VB_CLI_SECRET_AS_ARGUMENT, VB_CLI_FOREIGN_OPTION
 */
export function checkPluginFlags(seen: Scan, used: readonly HypervisorPlugin[], known: readonly string[]): void {
  for (const flag of seen.flags) {
    const positive = flag.replace(/^--no-/, '--');
    for (const plugin of used) {
      const option = positive.startsWith(`--${plugin.name}-`) ? positive.slice(plugin.name.length + 3) : undefined;
      if (option !== undefined && plugin.options[option]?.secret === true) throw secretAsArgument(plugin.name, option);
    }
    const owner = known.find((name) => positive.startsWith(`--${name}-`));
    if (owner === undefined || used.some(({ name }) => name === owner)) continue;
    const instead = seen.hypervisor === undefined ? 'no hypervisor was named' : `the hypervisor is ${seen.hypervisor}`;
    throw new VBackupError('VB_CLI_FOREIGN_OPTION', `${flag} is an option of ${owner}, and ${instead}`, {
      cure: `give --hypervisor ${owner}, or leave it out`,
    });
  }
}

function secretAsArgument(plugin: string, option: string): VBackupError {
  const name = variableName(plugin, option);
  return new VBackupError('VB_CLI_SECRET_AS_ARGUMENT', `--${plugin}-${option} is refused: arguments are not secret`, {
    cure:
      `every user of this machine can read them; set ${name}_FILE, ${name}_COMMAND, ${name}_FD or ${name}, ` +
      `or have systemd load the credential ${plugin}-${option}`,
  });
}
