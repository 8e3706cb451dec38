import { VBackupError } from '../errors/index.js';
import type { BlockLimits, BlockWriter, OpenTarget, TargetSpecification, WithSignal } from '../hypervisor/index.js';
import { NbdClient } from './client.js';
import { piecesOf } from './limits.js';
import { loadNbdUri } from './uri-loader.js';

const ZEROS = Buffer.alloc(1024 * 1024);

export interface NbdTargetOptions {
  /** Fewer where the server does not keep several in step. Default 1. */
  readonly connections?: number | undefined;
}

/**
 * The target of a restore into an NBD export. What the export held before is overwritten, and cannot be undone.
 * @throws VBackupError (when opened) VB_NBD_TARGET_SIZE, VB_NBD_READ_ONLY, and what {@link NbdClient.connect} throws
 */
export function openNbdTarget(uri: string, { connections }: NbdTargetOptions = {}): OpenTarget {
  return async (specification, options) => {
    const more = { metaContexts: [], connections, signal: options?.signal };
    const client = await NbdClient.connect({ ...(await loadNbdUri(uri)), ...more });
    try {
      check(client, specification, uri);
    } catch (error) {
      await client.close();
      throw error;
    }
    return new NbdTarget(client);
  };
}

function check(client: NbdClient, specification: TargetSpecification, uri: string): void {
  const { size, label } = specification;
  if (client.capabilities.readOnly) {
    throw new VBackupError('VB_NBD_READ_ONLY', `${uri} can only be read`, {
      cure: 'have the server export it for writing',
    });
  }
  if (client.size >= size) return;
  const message = `${uri} has ${client.size} bytes, too few for the ${size} bytes of ${label}`;
  throw new VBackupError('VB_NBD_TARGET_SIZE', message);
}

class NbdTarget implements BlockWriter {
  readonly size: number;
  readonly limits: BlockLimits;
  /** An export may hold anything. */
  readonly zeroed = false;
  readonly anyOrder = true;
  readonly #client: NbdClient;

  constructor(client: NbdClient) {
    this.#client = client;
    this.size = client.size;
    this.limits = client.limits;
  }

  write(offset: number, bytes: Buffer, options?: WithSignal): Promise<void> {
    return this.#client.write(offset, bytes, options);
  }

  async zero(offset: number, length: number, options?: WithSignal): Promise<void> {
    if (this.#client.capabilities.zero) return this.#client.zero(offset, length, options);
    for (const piece of piecesOf({ offset, length }, ZEROS.length)) {
      await this.#client.write(piece.offset, ZEROS.subarray(0, piece.length), options);
    }
  }

  async sync(options?: WithSignal): Promise<void> {
    if (this.#client.capabilities.flush) await this.#client.flush(options);
  }

  /** Its bytes are in use from the first on. */
  finish(options?: WithSignal): Promise<void> {
    return this.sync(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }
}
