import { readFile } from 'node:fs/promises';
import { type OptionSchema, type OptionValues, VBackupError } from '@vbackup/core';
import { z } from 'zod';
import { messageOf } from './errors.js';
import { parseXapiUrl, type XapiEndpoint } from './transport/endpoint.js';
import type { TlsTrust } from './transport/trust.js';

export const XEN_OPTIONS = {
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
} as const satisfies OptionSchema;

export interface XenOptions {
  readonly endpoint: XapiEndpoint;
  readonly user: string;
  readonly password: string;
  readonly trust: TlsTrust;
  readonly insecureNbd: boolean;
  readonly nbdTimeoutMs: number;
}

const DEFAULT_NBD_TIMEOUT_SECONDS = 60;
const LONGEST_NBD_TIMEOUT_SECONDS = 3600;

const ValuesSchema = z.object({
  url: z.string().min(1),
  user: z.string().min(1).default('root'),
  password: z.string().min(1),
  ca: z.string().optional(),
  fingerprint: z.string().optional(),
  'insecure-nbd': z.boolean().default(false),
  'nbd-timeout': z.number().min(1).max(LONGEST_NBD_TIMEOUT_SECONDS).default(DEFAULT_NBD_TIMEOUT_SECONDS),
});

/** @throws VBackupError VB_PLUGIN_OPTION, VB_XEN_URL, VB_XEN_FINGERPRINT, VB_XEN_CA */
export async function parseOptions(values: OptionValues): Promise<XenOptions> {
  const parsed = ValuesSchema.safeParse(values);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const name = issue?.path.join('.') ?? '';
    throw new VBackupError('VB_PLUGIN_OPTION', `option ${name} of xen: ${issue?.message.toLowerCase() ?? 'invalid'}`, {
      cure: `pass --xen-${name}, or set VBACKUP_XEN_${name.toUpperCase().replaceAll('-', '_')}`,
    });
  }
  const { url, user, password, ca, fingerprint } = parsed.data;
  return {
    endpoint: parseXapiUrl(url),
    user,
    password,
    trust: {
      ca: ca === undefined ? undefined : await readCa(ca),
      fingerprints: fingerprint === undefined ? [] : parseFingerprints(fingerprint),
    },
    insecureNbd: parsed.data['insecure-nbd'],
    nbdTimeoutMs: parsed.data['nbd-timeout'] * 1000,
  };
}

/**
 * `sha256:<64 hex digits, colons between them allowed>`, one or several with commas between.
 * @throws VBackupError VB_XEN_FINGERPRINT
 */
export function parseFingerprints(text: string): readonly string[] {
  return text.split(',').map((part) => {
    const match = /^sha256:([0-9a-f:]+)$/i.exec(part.trim());
    const digits = match?.[1]?.replaceAll(':', '').toLowerCase() ?? '';
    if (digits.length === 64) return digits;
    throw new VBackupError('VB_XEN_FINGERPRINT', `"${part.trim()}" is not of the form sha256:<64 hex digits>`, {
      cure: 'ask the host: openssl x509 -in /etc/xensource/xapi-ssl.pem -noout -fingerprint -sha256',
    });
  });
}

async function readCa(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new VBackupError('VB_XEN_CA', `the certificates in ${path} cannot be read: ${messageOf(error)}`);
  });
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new VBackupError('VB_XEN_CA', `${path} holds no certificate in PEM`);
}
