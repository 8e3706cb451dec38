import type { Hypervisor } from '@vbackup/core';
import { failureOf } from '../failure.js';
import type { CommandContext } from './command.js';

/** A hypervisor in use. Ending it cannot undo the work: what goes wrong then is a warning. */
export interface Connection extends AsyncDisposable {
  readonly hypervisor: Hypervisor;
}

/** Connects the hypervisor of that name with the values the user gave. */
export async function connect(context: CommandContext, name: string): Promise<Connection> {
  const { plugins, invocation, signal, output } = context;
  const hypervisor = await plugins.connect(name, {
    flags: invocation.options.of(name),
    signal,
    onWarning: ({ code, message }) => output.warning(code, message),
  });
  const end = async (): Promise<void> => {
    try {
      await hypervisor[Symbol.asyncDispose]();
    } catch (error) {
      const { code, message } = failureOf(error);
      output.warning(code, `the connection to ${name} did not end well: ${message}`);
    }
  };
  return { hypervisor, [Symbol.asyncDispose]: end };
}
