import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fail, say } from './say.mjs';

/** The programs that the integration tests and the benchmarks speak to, with the Debian packages of each. */
const PROGRAMS = {
  nbdkit: 'nbdkit',
  nbdinfo: 'libnbd-bin',
  nbdcopy: 'libnbd-bin',
  nbdfuse: 'libnbd-bin',
  nbdsh: 'python3-libnbd',
  'qemu-img': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  virtnbdrestore: 'virtnbdbackup',
  openssl: 'openssl',
  setpriv: 'util-linux',
  findmnt: 'util-linux',
  'mkfs.ext4': 'e2fsprogs',
  debugfs: 'e2fsprogs',
  filefrag: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  xfs_io: 'xfsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  mount: 'mount',
  losetup: 'mount',
  libvirtd: ['libvirt-daemon', 'libvirt-daemon-driver-qemu'],
  virsh: 'libvirt-clients',
  'qemu-system-x86_64': 'qemu-system-x86',
  guestmount: 'guestmount',
  depmod: 'kmod',
  cpio: 'cpio',
  python3: 'python3',
  zstd: 'zstd',
  bzip2: 'bzip2',
  lzop: 'lzop',
};

/** supermin looks at it when it makes the machine of guestmount; a system without a kernel of its own lacks it. */
const MODULES = '/lib/modules';

/** Installs what is missing if this user may, else says which line installs it. */
export function installDebianPackages() {
  const missing = [...new Set(Object.entries(PROGRAMS).flatMap(([program, name]) => (isThere(program) ? [] : name)))];
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  const steps = missing.length === 0 ? [] : [['apt-get', 'update', '-q'], install];
  if (!existsSync(MODULES)) steps.push(['mkdir', '-p', MODULES]);
  if (steps.length === 0) return;
  const prefix = privilege();
  if (prefix === undefined) {
    const line = steps.map((step) => `sudo ${step.join(' ')}`).join(' && ');
    if (process.env.CI === 'true') fail(`the integration tests need Debian packages, install them with: ${line}`);
    say(`some integration tests will be SKIPPED; install what they need with: ${line}`);
    return;
  }
  if (missing.length > 0) say(`installing Debian packages: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of steps) {
    const [program, ...rest] = [...prefix, ...args];
    const { status } = spawnSync(program, rest, { stdio: ['ignore', 'pipe', 'inherit'], env });
    if (status !== 0) fail(`${args.join(' ')} did not succeed (exit code ${status})`);
  }
}

function privilege() {
  if (!isThere('apt-get')) return undefined;
  if (process.getuid?.() === 0) return [];
  return isThere('sudo') && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0
    ? ['sudo', '-n']
    : undefined;
}

function isThere(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
