import { VBackupError } from '../errors/index.js';
import type { NbdAddress } from './connect-options.js';
import { NBD_PORT } from './words.js';

/** Where the credentials of a `nbds` URI lie; {@link loadNbdUri} reads them. */
export type NbdUriTls =
  | {
      readonly kind: 'x509';
      /** A folder with `ca-cert.pem`, and perhaps `client-cert.pem` and `client-key.pem`. */
      readonly certificates?: string | undefined;
      readonly hostname?: string | undefined;
    }
  | { readonly kind: 'psk'; readonly file: string; readonly username?: string | undefined };

export interface NbdUri {
  readonly address: NbdAddress;
  readonly exportName: string;
  readonly tls?: NbdUriTls | undefined;
}

/** RFC 3986, appendix B; with `//` always, so that QEMU's old `nbd:host:port:exportname=…` is not taken for an export's name. */
const URI = /^([^:/?#]+):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/;
const SCHEME = /^(nbds?)(\+unix)?$/i;
/** userinfo, host (IPv6 in brackets), port */
const AUTHORITY = /^(?:([^@]*)@)?(\[[^\]]*\]|[^:[\]@]*)(?::(\d*))?$/;
const PARAMETERS = [
  'socket',
  'tls-type',
  'tls-certificates',
  'tls-psk-file',
  'tls-hostname',
  'tls-verify-peer',
] as const;

type Parameters = Partial<Record<(typeof PARAMETERS)[number], string>>;

interface Authority {
  readonly username: string | undefined;
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `nbd://`, `nbds://`, `nbd+unix://` and `nbds+unix://` (doc/uri.md of the NBD project; `tls-certificates` and
 * `tls-psk-file` as libnbd has them). `nbd` means without TLS: there is no TLS that a middleman may take away. What is
 * not understood is refused, and so is TLS without verification.
 * @throws VBackupError VB_NBD_URI
 */
export function parseNbdUri(text: string): NbdUri {
  const [, scheme = '', authorityText = '', path = '', query, fragment] = URI.exec(text) ?? [];
  const [, base, unix] = SCHEME.exec(scheme) ?? [];
  if (base === undefined) throw invalid(text, 'its scheme is not nbd://, nbds://, nbd+unix:// or nbds+unix://');
  if (fragment !== undefined) throw invalid(text, 'it has a fragment');
  const authority = parseAuthority(text, authorityText);
  const parameters = parseQuery(text, query ?? '');
  return {
    address: addressOf(text, { authority, parameters, unix: unix !== undefined }),
    exportName: decode(text, path.replace(/^\//, '')),
    ...tlsOf(text, { authority, parameters, secure: base.toLowerCase() === 'nbds' }),
  };
}

function parseAuthority(text: string, authority: string): Authority {
  const match = AUTHORITY.exec(authority);
  if (match === null) throw invalid(text, 'its authority is malformed');
  const [, userinfo, host = '', port = ''] = match;
  if (userinfo?.includes(':') === true) throw invalid(text, 'it has a password, which NBD does not know');
  const number = port === '' ? NBD_PORT : Number(port);
  if (number < 1 || number > 65_535) throw invalid(text, `${port} is no port`);
  return {
    username: userinfo === undefined || userinfo === '' ? undefined : decode(text, userinfo),
    host: decode(text, host.replace(/^\[(.*)\]$/, '$1')),
    port: number,
  };
}

function parseQuery(text: string, query: string): Parameters {
  const parameters: Parameters = {};
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(text, equals < 0 ? part : part.slice(0, equals));
    const known = PARAMETERS.find((candidate) => candidate === name);
    if (known === undefined) throw invalid(text, `vbackup does not know its parameter ${name}`);
    if (parameters[known] !== undefined) throw invalid(text, `it has ${name} twice`);
    parameters[known] = equals < 0 ? '' : decode(text, part.slice(equals + 1));
  }
  return parameters;
}

function addressOf(
  text: string,
  parts: { readonly authority: Authority; readonly parameters: Parameters; readonly unix: boolean },
): NbdAddress {
  const { authority, parameters, unix } = parts;
  const { socket } = parameters;
  if (!unix) {
    if (socket !== undefined) throw invalid(text, 'it has a socket, which only nbd+unix and nbds+unix take');
    return { kind: 'tcp', host: authority.host === '' ? 'localhost' : authority.host, port: authority.port };
  }
  if (authority.host !== '') throw invalid(text, `a unix socket is on no host such as ${authority.host}`);
  if (socket === undefined || socket === '') throw invalid(text, 'it lacks the parameter socket');
  return { kind: 'unix', path: socket };
}

function tlsOf(
  text: string,
  parts: { readonly authority: Authority; readonly parameters: Parameters; readonly secure: boolean },
): { readonly tls?: NbdUriTls } {
  const { authority, parameters, secure } = parts;
  const certificates = parameters['tls-certificates'];
  const file = parameters['tls-psk-file'];
  const hostname = parameters['tls-hostname'];
  if (!secure) {
    const given = Object.keys(parameters).find((name) => name.startsWith('tls-'));
    if (given !== undefined) throw invalid(text, `it has ${given}, which only nbds and nbds+unix take`);
    return {};
  }
  checkVerification(text, parameters);
  const kind = parameters['tls-type'] ?? (file === undefined ? 'x509' : 'psk');
  if (kind === 'x509' && file === undefined) return { tls: { kind, certificates, hostname } };
  if (kind === 'psk' && file !== undefined && certificates === undefined) {
    return { tls: { kind, file, username: authority.username } };
  }
  throw invalid(text, 'its TLS parameters do not fit together');
}

function checkVerification(text: string, parameters: Parameters): void {
  const verify = parameters['tls-verify-peer'];
  if (verify !== undefined && verify !== '1' && verify !== 'true') {
    throw invalid(text, 'it asks for TLS without verification, which vbackup does not do');
  }
  const kind = parameters['tls-type'];
  if (kind !== undefined && kind !== 'x509' && kind !== 'psk') {
    throw invalid(text, `vbackup does not do TLS of type ${kind}`);
  }
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new VBackupError('VB_NBD_URI', `"${text}" is no NBD URI: ${part} is not percent-encoded UTF-8`, { cause });
  }
}

function invalid(uri: string, fault: string): VBackupError {
  const text = uri.replace(/:[^:@/]*@/, ':…@');
  return new VBackupError('VB_NBD_URI', `"${text}" is no NBD URI that can be used: ${fault}`, {
    cure: 'write nbd://host:port/export, nbds://… for TLS, or nbd+unix:///export?socket=/path/to/socket',
  });
}
