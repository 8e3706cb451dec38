import type { HostState } from './state.js';

/** What clients made and did not take away. */
export interface Leftovers {
  /** Snapshots of disks that still hold data. */
  readonly snapshots: readonly string[];
  /** Snapshots of disks of which only the log of changed blocks is left: one base per chain is as it should be. */
  readonly bases: readonly string[];
  /** Snapshots of machines, by name. */
  readonly machineSnapshots: readonly string[];
  /** Uuids of disks that dom0 still shows over NBD. */
  readonly exports: readonly string[];
  /** Names of tasks, whatever their state. */
  readonly tasks: readonly string[];
  readonly sessions: number;
}

export function leftoversOf({ db, sessions, controlDomain }: HostState): Leftovers {
  const snapshots = db.all('VDI').filter((vdi) => vdi.flag('is_a_snapshot'));
  const isBase = (type: string) => type === 'cbt_metadata';
  return {
    snapshots: snapshots.filter((vdi) => !isBase(vdi.text('type'))).map(({ uuid }) => uuid),
    bases: snapshots.filter((vdi) => isBase(vdi.text('type'))).map(({ uuid }) => uuid),
    machineSnapshots: db
      .all('VM')
      .filter((vm) => vm.flag('is_a_snapshot'))
      .map((vm) => vm.text('name_label')),
    exports: db
      .all('VBD')
      .filter((vbd) => vbd.text('VM') === controlDomain.ref)
      .map((vbd) => db.find('VDI', vbd.text('VDI'))?.uuid ?? 'gone'),
    tasks: db.all('task').map((task) => task.text('name_label')),
    sessions: sessions.count,
  };
}
