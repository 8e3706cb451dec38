import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { VBackupError } from '../../errors/index.js';
import type { Journal, JsonObject } from '../../hypervisor/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory, writeFully } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import { parseJson } from './json-text.js';
import { jsonObject } from './manifest-schema.js';

const JOURNAL_NAME = 'journal.ndjson';
/** A run notes a handful of steps per disk. */
const ENTRY_LIMIT = 100_000;

const header = v.object({
  journal: v.literal('vbackup'),
  version: v.literal(1),
  backupId: v.string(),
  since: v.string(),
});
const line = v.union([
  v.object({ chain: v.string() }),
  v.object({ file: v.string() }),
  v.object({ hypervisor: jsonObject }),
]);

/** What a journal says of the run that wrote it. Paths are relative to the repository. */
export interface JournalRecord {
  readonly backupId: string;
  /** The chain that the run made; null if it worked in an existing one, or came not so far. */
  readonly chain: string | null;
  /** Files that the run may have made, under this name or as a partial. */
  readonly files: readonly string[];
  readonly entries: readonly JsonObject[];
}

/** Durable notes of a run: what it is about to do, here and on the hypervisor. One JSON object per line. */
export class JournalFile implements Journal {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #entries: JsonObject[] = [];
  #length: number;
  #last: Promise<void> = Promise.resolve();

  private constructor(file: FileHandle, path: string, length: number) {
    this.#file = file;
    this.#path = path;
    this.#length = length;
  }

  /** Makes the journal of a new run, durably; there must be none. */
  static async create(place: string, backupId: string): Promise<JournalFile> {
    const path = join(place, JOURNAL_NAME);
    return withIo(`cannot write the journal ${path}`, async () => {
      const file = await open(`${path}${PARTIAL_SUFFIX}`, 'w', 0o640);
      try {
        const first = { journal: 'vbackup', version: 1, backupId, since: new Date().toISOString() };
        const bytes = Buffer.from(`${JSON.stringify(first)}\n`);
        await writeFully(file, bytes, 0);
        await file.sync();
        await rename(`${path}${PARTIAL_SUFFIX}`, path);
        await syncDirectory(place);
        return new JournalFile(file, path, bytes.length);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  /** The plugin's entries so far. */
  get entries(): readonly JsonObject[] {
    return this.#entries;
  }

  async record(entry: JsonObject): Promise<void> {
    await this.#append({ hypervisor: entry });
    this.#entries.push(entry);
  }

  /** A chain is about to be made. */
  chain(path: string): Promise<void> {
    return this.#append({ chain: path });
  }

  /** A file is about to be made. */
  file(path: string): Promise<void> {
    return this.#append({ file: path });
  }

  /** Lets go of the file; the journal stays. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  async remove(): Promise<void> {
    await removeJournal(dirname(this.#path));
  }

  #append(value: JsonObject): Promise<void> {
    const write = async (): Promise<void> => {
      const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#length);
      if (bytesWritten !== bytes.length)
        throw new VBackupError('VB_NO_SPACE', `no space for the journal ${this.#path}`);
      await this.#file.datasync();
      this.#length += bytes.length;
    };
    // One at a time: a line is whole before the next begins, and one that failed is overwritten.
    const done = this.#last.then(() => withIo(`cannot write the journal ${this.#path}`, write));
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** Forgets what a run noted. */
export async function removeJournal(place: string): Promise<void> {
  await withIo(`cannot remove the journal in ${place}`, () => rm(join(place, JOURNAL_NAME), { force: true }));
  await syncDirectory(place);
}

/**
 * Reads what a dead run noted; null if it left nothing. A torn last line is an entry whose side effect was never begun.
 * @throws VBackupError VB_REPOSITORY_DAMAGED
 */
export async function readJournal(place: string): Promise<JournalRecord | null> {
  const path = join(place, JOURNAL_NAME);
  const text = await withIo(`cannot read the journal ${path}`, () => ignoringMissing(() => readFile(path, 'utf8')));
  if (text === null) return null;
  const lines = text.split('\n').slice(0, -1);
  if (lines.length > ENTRY_LIMIT) throw damaged(path, lines.length);
  const first = v.safeParse(header, parseJson(lines[0] ?? ''));
  if (!first.success) throw damaged(path, 1);
  let chain: string | null = null;
  const files: string[] = [];
  const entries: JsonObject[] = [];
  for (const [index, text] of lines.slice(1).entries()) {
    const parsed = v.safeParse(line, parseJson(text));
    if (!parsed.success) {
      if (index === lines.length - 2) break;
      throw damaged(path, index + 2);
    }
    if ('chain' in parsed.output) chain = parsed.output.chain;
    else if ('file' in parsed.output) files.push(parsed.output.file);
    else entries.push(parsed.output.hypervisor);
  }
  return { backupId: first.output.backupId, chain, files, entries };
}

const damaged = (path: string, lineNumber: number): VBackupError =>
  new VBackupError('VB_REPOSITORY_DAMAGED', `journal ${path} cannot be understood at line ${lineNumber}`, {
    cure: 'look at the hypervisor for leftovers of vbackup, then remove the journal',
  });
