import { readFile } from 'node:fs/promises';
import type { OptionValues } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { shapeFault, shapePath } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';
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

const ValuesSchema = v.object({
  url: v.pipe(v.string(), v.minLength(1)),
  user: v.optional(v.pipe(v.string(), v.minLength(1)), 'root'),
  password: v.pipe(v.string(), v.minLength(1)),
  ca: v.optional(v.string()),
  fingerprint: v.optional(v.string()),
  'insecure-nbd': v.optional(v.boolean(), false),
  'nbd-timeout': v.optional(
    v.pipe(v.number(), v.finite(), v.minValue(1), v.maxValue(LONGEST_NBD_TIMEOUT_SECONDS)),
    DEFAULT_NBD_TIMEOUT_SECONDS,
  ),
});

/** @throws VBackupError VB_PLUGIN_OPTION, VB_XEN_URL, VB_XEN_FINGERPRINT, VB_XEN_CA */
export async function parseOptions(values: OptionValues): Promise<XenOptions> {
  const parsed = v.safeParse(ValuesSchema, values);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const name = shapePath(issue);
    throw new VBackupError('VB_PLUGIN_OPTION', `option ${name} of xen: ${shapeFault(issue)}`, {
      cure: `pass --xen-${name}, or set VBACKUP_XEN_${name.toUpperCase().replaceAll('-', '_')}`,
    });
  }
  const { url, user, password, ca, fingerprint } = parsed.output;
  return {
    endpoint: parseXapiUrl(url),
    user,
    password,
    trust: {
      ca: ca === undefined ? undefined : await readCa(ca),
      fingerprints: fingerprint === undefined ? [] : parseFingerprints(fingerprint),
    },
    insecureNbd: parsed.output['insecure-nbd'],
    nbdTimeoutMs: parsed.output['nbd-timeout'] * 1000,
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
