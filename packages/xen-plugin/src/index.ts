export { CBT_BLOCK_LENGTH, changedExtents, decodeBitmap } from './cbt-bitmap.js';
export { XenApiError } from './errors.js';
export type { NbdOpener } from './nbd-opener.js';
export { xenPlugin } from './plugin.js';
export { XenSession } from './session.js';
export { NbdOpenerToken, OpenChangeTrackerToken, OpenXapiTransportToken } from './tokens.js';
export { type CbtPoint, CbtTracker, type OpenChangeTracker, type XenChangeTracker } from './tracker.js';
export type {
  CallOptions,
  HttpExchange,
  HttpRequestOptions,
  OpenXapiTransport,
  TransportOptions,
  XapiTransport,
} from './transport/transport.js';
