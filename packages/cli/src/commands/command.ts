import type { Damage, Repository } from '@vbackup/core';
import type { Configuration } from '../configuration/configuration.js';
import type { Invocation } from '../grammar/invocation.js';
import type { Output } from '../output/output.js';
import type { Plugins } from '../plugins.js';
import type { Work } from '../work.js';
import type { World } from '../world.js';

/** What a command works with. */
export interface CommandContext {
  readonly world: World;
  readonly invocation: Invocation;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly plugins: Plugins;
  readonly version: string;
  configuration(): Promise<Configuration>;
  work(): Promise<Work>;
  /** Where the repository is, or would be. */
  repositoryPath(): Promise<string>;
  /** @throws VBackupError VB_REPOSITORY_NOT_FOUND without `create` */
  repository(options: { readonly create: boolean }): Promise<Repository>;
}

/** What came of it; a command that could do nothing throws instead. */
export interface Outcome {
  readonly done: number;
  readonly failed: number;
  readonly exitCode: number;
  readonly damage?: readonly Damage[] | undefined;
}

export type RunCommand = (context: CommandContext) => Promise<Outcome>;
