import 'reflect-metadata';
import { X509Certificate as NodeCertificate, randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** A certificate with its private key, as TLS takes them. */
export interface IssuedCertificate {
  /** PEM of the leaf alone. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** SHA-256 of the DER form: 64 lower-case hexadecimal digits, no colons. */
  readonly fingerprint: string;
}

export interface CertificateRequest {
  /** DNS names; the first one is the subject's common name too. */
  readonly names?: readonly string[];
  /** IP addresses, v4 or v6. */
  readonly addresses?: readonly string[];
  /** For TLS clients instead of servers. */
  readonly clientAuth?: boolean;
  /** Default: an hour ago. */
  readonly notBefore?: Date;
  /** Default: in ten years. */
  readonly notAfter?: Date;
  /** Default rsa (2048 bits), as XenServer makes them: its NBD server speaks RSA suites only. */
  readonly keyType?: KeyType;
}

export type KeyType = 'rsa' | 'ec';

/** A certificate authority of one test. */
export interface Authority {
  /** PEM of its self-signed certificate: what a client takes as `ca`. */
  readonly certificate: string;
  /** PEM, PKCS #8: what certtool and others need to issue more. */
  readonly key: string;
  issue(request: CertificateRequest): Promise<IssuedCertificate>;
}

const HOUR_MS = 3_600_000;
const TEN_YEARS_MS = 10 * 365 * 24 * HOUR_MS;
const ALGORITHMS = {
  rsa: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  ec: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
} as const;

/** Makes an authority that exists nowhere else: two calls give two authorities that do not trust each other. */
export async function makeAuthority(
  options: { readonly name?: string; readonly keyType?: KeyType } = {},
): Promise<Authority> {
  const keys = await makeKeys(options.keyType ?? 'rsa');
  const name = nameOf(options.name ?? `vbackup lab authority ${randomBytes(4).toString('hex')}`);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...common({}),
      name,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign + KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  const issue = async (request: CertificateRequest): Promise<IssuedCertificate> => {
    const leafKeys = await makeKeys(request.keyType ?? options.keyType ?? 'rsa');
    const leaf = await X509CertificateGenerator.create(
      {
        ...common(request),
        subject: nameOf(commonNameOf(request)),
        issuer: name,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          ...leafExtensions(request),
          await SubjectKeyIdentifierExtension.create(leafKeys.publicKey, false, webcrypto),
          await AuthorityKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        ],
      },
      webcrypto,
    );
    return issued(leaf.toString('pem'), leafKeys.privateKey);
  };
  return { certificate: certificate.toString('pem'), key: await privateKeyPem(keys.privateKey), issue };
}

/** A certificate that stands for itself, as a XenServer host makes one at installation. */
export async function selfSigned(request: CertificateRequest): Promise<IssuedCertificate> {
  const keys = await makeKeys(request.keyType ?? 'rsa');
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      ...common(request),
      name: nameOf(commonNameOf(request)),
      keys,
      extensions: [
        ...leafExtensions(request),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return issued(certificate.toString('pem'), keys.privateKey);
}

type Keys = Awaited<ReturnType<typeof makeKeys>>;

const makeKeys = async (type: KeyType) =>
  type === 'rsa'
    ? await webcrypto.subtle.generateKey(ALGORITHMS.rsa, true, ['sign', 'verify'])
    : await webcrypto.subtle.generateKey(ALGORITHMS.ec, true, ['sign', 'verify']);

const nameOf = (commonName: string) => [{ CN: [commonName] }];

const commonNameOf = (request: CertificateRequest): string =>
  request.names?.[0] ?? request.addresses?.[0] ?? 'vbackup lab';

function common(request: Pick<CertificateRequest, 'notBefore' | 'notAfter'>) {
  const now = Date.now();
  return {
    // A leading zero byte keeps the serial number positive, whatever the encoder makes of its first bit.
    serialNumber: `00${randomBytes(12).toString('hex')}`,
    notBefore: request.notBefore ?? new Date(now - HOUR_MS),
    notAfter: request.notAfter ?? new Date(now + TEN_YEARS_MS),
  };
}

function leafExtensions(request: CertificateRequest): Extension[] {
  const alternatives = [
    ...(request.names ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(request.addresses ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature + KeyUsageFlags.keyEncipherment, true),
    new ExtendedKeyUsageExtension([
      request.clientAuth === true ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth,
    ]),
    ...(alternatives.length === 0 ? [] : [new SubjectAlternativeNameExtension(alternatives)]),
  ];
}

async function issued(certificate: string, privateKey: Keys['privateKey']): Promise<IssuedCertificate> {
  const fingerprint = new NodeCertificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
  return { certificate: `${certificate}\n`, key: await privateKeyPem(privateKey), fingerprint };
}

async function privateKeyPem(key: Keys['privateKey']): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  const lines = der.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n');
}
