import type { PluginDescription } from '@vbackup/core';

/** What the command line needs to know of the plugin. Nothing else is loaded with it. */
export const XEN_DESCRIPTION = {
  name: 'xen',
  description: 'XenServer and XCP-ng pools (XenAPI): changed block tracking, read over NBD with TLS',
  options: {
    url: {
      type: 'string',
      description: 'the pool coordinator (or any host of the pool)',
      placeholder: 'URL',
      required: true,
    },
    user: { type: 'string', description: 'the user who logs in (default: root)', placeholder: 'NAME' },
    password: { type: 'string', description: "the user's password", required: true, secret: true },
    ca: { type: 'file', description: 'certificates (PEM) that may sign the hosts', placeholder: 'FILE' },
    fingerprint: {
      type: 'string',
      description: "SHA-256 of the host's certificate; several, one per host, with commas between",
      placeholder: 'sha256:HEX',
    },
    'insecure-nbd': { type: 'boolean', description: 'read disks without TLS where the pool offers nothing else' },
    'nbd-timeout': {
      type: 'number',
      description: 'seconds until a read that is not answered fails (default: 60)',
      placeholder: 'SECONDS',
    },
  },
} as const satisfies PluginDescription;
