import { VBackupError } from '../../errors/index.js';
import type { NbdExport } from './export.js';

export interface OpenedExportHost {
  open(name: string): Promise<NbdExport | null>;
  readonly onExportError: (error: unknown) => void;
}

/** The export that a negotiation opened last. Clients ask for one name several times before they go. */
export class OpenedExport {
  readonly #host: OpenedExportHost;
  #opened: { readonly name: string; readonly disk: NbdExport } | undefined;

  constructor(host: OpenedExportHost) {
    this.#host = host;
  }

  /** The export, null where there is none, or why it cannot be opened. One of another name is closed. */
  async open(name: string): Promise<NbdExport | VBackupError | null> {
    if (this.#opened?.name === name) return this.#opened.disk;
    await this.close();
    try {
      const disk = await this.#host.open(name);
      if (disk !== null) this.#opened = { name, disk };
      return disk;
    } catch (cause) {
      this.#host.onExportError(cause);
      return cause instanceof VBackupError ? cause : new VBackupError('VB_IO', 'cannot open the export', { cause });
    }
  }

  /** From now on whoever asked has it to close. */
  handOver(): void {
    this.#opened = undefined;
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.disk.close?.().catch(this.#host.onExportError);
  }
}
