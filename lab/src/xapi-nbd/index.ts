export {
  type XapiNbdDisk,
  type XapiNbdFault,
  type XapiNbdIdentity,
  type XapiNbdMode,
  type XapiNbdRead,
  XapiNbdServer,
  type XapiNbdServerOptions,
} from './xapi-nbd-server.js';
