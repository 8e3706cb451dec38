import { readFile } from 'node:fs/promises';
import { type OptionValues, VBackupError } from '@vbackup/core';
import { z } from 'zod';
import { messageOf } from './errors.js';
import { parseXapiUrl, type XapiEndpoint } from './transport/endpoint.js';
import type { TlsTrust } from './transport/trust.js';

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
