import type { WithSignal } from './block-device.js';
import type { ConfigurationFile } from './hypervisor.js';

/** What a hypervisor must know to make a machine again of disks that are restored into files. */
export interface MachineRequest {
  /** What the plugin saved with the backup, in its order. */
  readonly configuration: readonly ConfigurationFile[];
  /** The machine's new name; missing where it keeps its own. With another name it is another machine beside the first. */
  readonly name?: string | undefined;
  /** Every disk that will be restored. */
  readonly disks: readonly MachineDisk[];
  /** Where the disks will lie, absolute. Files of the plugin (firmware variables, a kernel) go there as well. */
  readonly folder: string;
  /** Replaces the definition of the same machine, and files that exist. */
  readonly force: boolean;
}

export interface MachineDisk {
  /** As the plugin named it. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** A machine that can be made as soon as its disks are there. */
export interface PreparedMachine {
  readonly name: string;
  /**
   * Called when every disk is complete. It does not start the machine. If it fails the disks stay, and the error's cure says
   * how to go on by hand.
   */
  define(options?: WithSignal): Promise<DefinedMachine>;
}

export interface DefinedMachine {
  readonly name: string;
  /** The hypervisor's own identifier. */
  readonly id: string;
}
