/** All that QEMU is ever told past libvirt: what ends a backup job that libvirt lost (docs/interop/qemu-qmp-ref). */
export const MONITOR_COMMANDS = [
  'query-named-block-nodes',
  'query-jobs',
  'query-block-exports',
  'block-export-del',
  'nbd-server-stop',
  'job-cancel',
  'job-dismiss',
  'blockdev-del',
  'block-dirty-bitmap-remove',
] as const;

export type MonitorCommand = (typeof MONITOR_COMMANDS)[number];

/** A command and its arguments. */
export interface MonitorRequest {
  readonly execute: MonitorCommand;
  readonly values?: Readonly<Record<string, string | boolean>> | undefined;
}
