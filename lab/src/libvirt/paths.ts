import { join } from 'node:path';

/** Where everything of one lab lies. Short, because paths of sockets may have 107 bytes at most. */
export interface LabPaths {
  readonly folder: string;
  /** The daemon's sockets and pid file. */
  readonly run: string;
  /** Shown to the daemon as /etc/libvirt. */
  readonly etc: string;
  /** Shown to the daemon as /var/lib/libvirt, /var/cache/libvirt, /run/libvirt, /var/log/libvirt. */
  readonly state: string;
  readonly images: string;
  /** A file system of 1 MiB, in mode `system`, that is seen only by the daemon. */
  readonly small: string;
  readonly pki: string;
  /** HOME of a daemon that runs for a user. */
  readonly home: string;
  readonly socket: string;
  readonly daemonConfig: string;
  readonly daemonLog: string;
  readonly daemonOutput: string;
}

export function labPaths(folder: string): LabPaths {
  const run = join(folder, 'run');
  const etc = join(folder, 'etc');
  return {
    folder,
    run,
    etc,
    state: join(folder, 'var'),
    images: join(folder, 'images'),
    small: join(folder, 'small'),
    pki: join(folder, 'pki'),
    home: join(folder, 'home'),
    socket: join(run, 'libvirt-sock'),
    daemonConfig: join(etc, 'libvirtd.conf'),
    daemonLog: join(folder, 'libvirtd.log'),
    daemonOutput: join(folder, 'output.log'),
  };
}
