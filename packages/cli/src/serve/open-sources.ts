import type * as CoreModule from '@vbackup/core';
import type { Catalogue, DiskSource, Repository } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import { oneDisk } from '../commands/one-disk.js';
import { checkExists, subjectOf } from '../subject.js';
import { usageError } from '../usage.js';
import { warnOfFormat } from '../warn-of-format.js';

type Core = typeof CoreModule;

/** What sources are opened with. */
export interface SourceTools {
  readonly core: Core;
  readonly cache: ReturnType<Core['servedCache']>;
}

/**
 * What the words of the command line name: backups, archives, streams and images. Who gets them closes them.
 * @throws VBackupError VB_CLI_USAGE, VB_BACKUP_NOT_FOUND, VB_FILE_NOT_FOUND, VB_FILE_TYPE, …
 */
export class Sources implements AsyncDisposable {
  readonly opened: DiskSource[] = [];
  readonly #context: CommandContext;
  readonly #tools: SourceTools;
  #catalogue: Promise<{ readonly repository: Repository; readonly catalogue: Catalogue }> | undefined;

  constructor(context: CommandContext, tools: SourceTools) {
    this.#context = context;
    this.#tools = tools;
  }

  async add(word: string): Promise<void> {
    const { world, output, signal } = this.#context;
    const subject = await subjectOf(word, world.cwd);
    if (subject.kind === 'nbd') throw usageError(`${word} is served already`, 'name a backup, an archive or an image');
    if (subject.kind === 'backup') {
      this.opened.push(await this.#backup(word));
      return;
    }
    await checkExists(subject);
    await warnOfFormat(subject, { work: 'serve', output });
    const { core, cache } = this.#tools;
    const onWarning = ({ code, message }: { readonly code: string; readonly message: string }): void =>
      output.warning(code, message);
    const source = await core.pathSource(subject.path, { cache, onWarning, signal });
    this.opened.push(withoutOthers(source, this.#context.invocation.options.text('disk')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.opened.splice(0)) await source[Symbol.asyncDispose]();
  }

  async #backup(reference: string): Promise<DiskSource> {
    const { core, cache } = this.#tools;
    const { signal, invocation } = this.#context;
    this.#catalogue ??= this.#context
      .repository({ create: false })
      .then(async (repository) => ({ repository, catalogue: await repository.catalogue({ signal }) }));
    const { repository, catalogue } = await this.#catalogue;
    const { manifest, disk } = (await this.#context.work()).findBackup(catalogue, reference);
    const source = core.backupSource({ repository, backups: catalogue.backups, manifest, cache });
    const named = invocation.options.text('disk') ?? disk;
    return named === undefined ? source : withoutOthers(source, oneDisk(manifest, named));
  }
}

/** A source with the disk that was named alone. @throws VBackupError VB_CLI_USAGE */
function withoutOthers(source: DiskSource, named: string | undefined): DiskSource {
  if (named === undefined) return source;
  const disks = source.disks.filter(({ name }) => name === named);
  if (disks.length > 0) return { ...source, disks };
  throw usageError(`${source.name} has no disk ${named}`, `it has: ${source.disks.map(({ name }) => name).join(', ')}`);
}
