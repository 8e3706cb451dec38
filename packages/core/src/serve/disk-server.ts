import { VBackupError } from '../errors/index.js';
import type { NbdAddress } from '../nbd/connect-options.js';
import type { NbdExport } from '../nbd/server/export.js';
import { NbdServer } from '../nbd/server/server.js';
import type { NbdServerConnection, NbdServerTls } from '../nbd/server/server-options.js';
import { diskExport } from './disk-export.js';
import { exportUri } from './export-uri.js';
import { observed } from './observed-export.js';
import type { ServedDisk } from './served-disk.js';

export interface DiskServerOptions {
  /** Each under a name of its own; who opens them closes them, behind the server. */
  readonly disks: readonly ServedDisk[];
  readonly address: NbdAddress;
  /** Permissions of a unix socket; default 0o600. */
  readonly socketMode?: number | undefined;
  readonly tls?: NbdServerTls | undefined;
  /** Ends by itself when the last client that used a disk has gone. */
  readonly once?: boolean | undefined;
  /** A request that failed, and the disk that it was for. */
  readonly onFault: (error: unknown, disk: ServedDisk) => void;
  /** A connection that ended in another way than the client's wish. */
  readonly onConnectionError: (error: unknown, connection: NbdServerConnection) => void;
}

/** Shows disks to NBD clients, each as an export. */
export class DiskServer implements AsyncDisposable {
  readonly #options: DiskServerOptions;
  readonly #finished = Promise.withResolvers<void>();
  #server: NbdServer | undefined;
  #open = 0;
  #used = false;

  private constructor(options: DiskServerOptions) {
    this.#options = options;
  }

  /** @throws VBackupError VB_INVALID_ARGUMENT (two disks of one name), VB_NBD_SERVER_LISTEN */
  static async listen(options: DiskServerOptions): Promise<DiskServer> {
    const { disks, address, socketMode, tls, onConnectionError } = options;
    const byName = new Map(disks.map((disk) => [disk.name, disk]));
    if (byName.size < disks.length) throw new VBackupError('VB_INVALID_ARGUMENT', 'two disks have one name');
    const [only] = disks;
    // The empty name is the default export: of several disks none is.
    if (only !== undefined && disks.length === 1) byName.set('', only);
    const self = new DiskServer(options);
    self.#server = await NbdServer.listen({
      address,
      socketMode,
      tls,
      open: async (name) => {
        const disk = byName.get(name);
        return disk === undefined ? null : self.#view(disk);
      },
      list: async () => disks.map(({ name, description }) => ({ name, description })),
      onConnectionError,
    });
    return self;
  }

  /** Where it listens, with the port that it got. */
  get address(): NbdAddress {
    return this.#server?.address ?? this.#options.address;
  }

  /** Settles when a server that serves but once is done; never otherwise. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  uriOf({ name }: ServedDisk): string {
    return exportUri(this.address, name, { secure: this.#options.tls !== undefined });
  }

  /** Lets the requests in flight finish; the disks stay open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.close();
  }

  #view(disk: ServedDisk): NbdExport {
    this.#open += 1;
    return observed(diskExport(disk), {
      onUse: () => {
        this.#used = true;
      },
      onError: (error) => this.#options.onFault(error, disk),
      onClose: () => {
        this.#open -= 1;
        if (this.#options.once === true && this.#used && this.#open === 0) this.#finished.resolve();
      },
    });
  }
}
