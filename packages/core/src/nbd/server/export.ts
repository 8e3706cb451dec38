import type { Extent } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import type { Loan } from '../../memory/loan.js';

/** One extent of a meta context, as BLOCK_STATUS answers it. */
export interface ContextExtent {
  readonly length: number;
  /** The context's own flags, e.g. NBD_STATE_HOLE. */
  readonly flags: number;
}

/** A disk that a server shows. Errors of its methods become NBD errors; `code` VB_NO_SPACE becomes ENOSPC. */
export interface NbdExport {
  readonly name: string;
  readonly description?: string | undefined;
  readonly size: number;
  readonly readOnly: boolean;
  /** Several connections see the same content. Default false. */
  readonly multiConn?: boolean | undefined;
  readonly minimumBlock?: number | undefined;
  readonly preferredBlock?: number | undefined;
  readonly maximumBlock?: number | undefined;
  /** Fills the whole of `target`. */
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;
  /** The bytes of a range where they lie, for a reply without a copy. Undefined: they must be read. */
  lend?(range: Extent, options?: WithSignal): Promise<Loan | undefined>;
  write?(offset: number, bytes: Buffer, options?: WithSignal & { readonly fua?: boolean }): Promise<void>;
  /** `hole`: may deallocate. */
  zero?(range: Extent, options?: WithSignal & { readonly fua?: boolean; readonly hole?: boolean }): Promise<void>;
  trim?(range: Extent, options?: WithSignal & { readonly fua?: boolean }): Promise<void>;
  flush?(options?: WithSignal): Promise<void>;
  /** Names of the meta contexts that `status` answers. */
  readonly metaContexts?: readonly string[] | undefined;
  /**
   * Extents of one context from `range.offset` on; may stop before the end of the range, never empty. More than `maximum`
   * of them, neighbours of equal flags counted as one, are not used.
   */
  status?(
    context: string,
    range: Extent,
    options?: WithSignal & { readonly maximum?: number },
  ): Promise<readonly ContextExtent[]>;
  /** Called once when its connection ends. */
  close?(): Promise<void>;
}
