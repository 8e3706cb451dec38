import type { BlockReader, Extent, NbdConnectOptions, StatusExtent, Warning, WithSignal } from '@vbackup/core';
import type { LibvirtOptions } from '../options.js';
import type { LibvirtLink } from './link.js';
import type { ImageTools } from './offline/image-tools.js';

/** What the parts of one connection to libvirt share. */
export interface LibvirtContext {
  readonly link: LibvirtLink;
  readonly openExport: ExportOpener;
  readonly images: ImageTools;
  readonly options: LibvirtOptions;
  readonly warn: (warning: Warning) => void;
}

/** An export of QEMU's NBD server. */
export interface JobExport extends BlockReader {
  readonly metaContexts: readonly string[];
  blockStatus(context: string, range: Extent, options?: WithSignal): AsyncIterable<StatusExtent>;
}

/** Opens an export. Inject another one to read the disks differently. */
export type ExportOpener = (options: NbdConnectOptions) => Promise<JobExport>;
