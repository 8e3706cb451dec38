import { join } from 'node:path';
import type { LabPaths } from './paths.js';

/**
 * How the daemon runs. `system`: as root, in namespaces of its own. `user`: as an ordinary user or, started by root without
 * the right to make namespaces (plain containers), as nobody.
 */
export type LabMode = 'system' | 'user';

/** qemu.conf: nothing that needs systemd, cgroups, AppArmor or virtlogd. */
export function qemuConfig(mode: LabMode, paths: LabPaths): string {
  const system = ['user = "root"', 'group = "root"', 'dynamic_ownership = 0', 'remember_owner = 0'];
  return lines([
    'security_driver = "none"',
    'cgroup_controllers = []',
    'namespaces = []',
    'stdio_handler = "file"',
    `backup_tls_x509_cert_dir = "${paths.pki}"`,
    'backup_tls_x509_verify = 1',
    ...(mode === 'system' ? system : []),
  ]);
}

export function daemonConfig(paths: LabPaths, tlsPort: number): string {
  return lines([
    `unix_sock_dir = "${paths.run}"`,
    'unix_sock_rw_perms = "0700"',
    'auth_unix_ro = "none"',
    'auth_unix_rw = "none"',
    `log_outputs = "3:file:${paths.daemonLog}"`,
    'listen_addr = "127.0.0.1"',
    'listen_tcp = 0',
    'listen_tls = 1',
    `tls_port = "${tlsPort}"`,
    'auth_tls = "none"',
    `key_file = "${join(paths.pki, 'server-key.pem')}"`,
    `cert_file = "${join(paths.pki, 'server-cert.pem')}"`,
    `ca_file = "${join(paths.pki, 'ca-cert.pem')}"`,
  ]);
}

const lines = (all: readonly string[]): string => `${all.join('\n')}\n`;
