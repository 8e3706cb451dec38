import { VBackupError } from '@vbackup/core/errors';

/** Where a XenAPI host listens. `host` is a name or an IP literal without brackets. */
export interface XapiEndpoint {
  readonly host: string;
  readonly port: number;
}

const HTTPS_PORT = 443;

/** `host:port`, an IPv6 literal in brackets. */
export function endpointText({ host, port }: XapiEndpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The endpoint of `https://host[:port][/]`.
 * @throws VBackupError VB_XEN_URL
 */
export function parseXapiUrl(text: string): XapiEndpoint {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== 'https:' || url.username !== '' || url.pathname !== '/' || url.search !== '') {
    throw new VBackupError('VB_XEN_URL', 'the url of the XenAPI host is not of the form https://host', {
      cure: 'pass --xen-url https://<host or address of the pool coordinator>, user and password apart from it',
    });
  }
  return endpointOf(url);
}

/** Host and port of a URL that is known to be `https:`. */
export function endpointOf(url: URL): XapiEndpoint {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? HTTPS_PORT : Number(url.port) };
}
