import type { NativeError } from './errors.js';

/** What an error of libvirt means for us. */
export interface Meaning {
  readonly code: (typeof LIBVIRT_CODES)[number];
  readonly message: string;
  readonly cure?: string | undefined;
}

/** The codes that libvirt's own errors get. */
export const LIBVIRT_CODES = [
  'VB_LIBVIRT_CONNECT',
  'VB_LIBVIRT_AUTHENTICATION',
  'VB_LIBVIRT_TLS',
  'VB_LIBVIRT_READ_ONLY',
  'VB_LIBVIRT_ACCESS_DENIED',
  'VB_LIBVIRT_CLOSED',
  'VB_LIBVIRT_NO_DOMAIN',
  'VB_LIBVIRT_INVALID_STATE',
  'VB_LIBVIRT_BUSY',
  'VB_LIBVIRT_UNSUPPORTED',
  'VB_LIBVIRT_NO_AGENT',
  'VB_LIBVIRT_AGENT_UNRESPONSIVE',
  'VB_LIBVIRT_NO_CHECKPOINT',
  'VB_LIBVIRT_CHECKPOINT_INCONSISTENT',
  'VB_LIBVIRT_NO_BACKUP_JOB',
  'VB_LIBVIRT_FAILED',
] as const;

type Code = Meaning['code'];

/** virErrorNumber (virterror.h), for every call. */
const CODES: Readonly<Record<number, Code>> = {
  /* VIR_ERR_NO_SUPPORT */ 3: 'VB_LIBVIRT_UNSUPPORTED',
  /* VIR_ERR_NO_CONNECT */ 5: 'VB_LIBVIRT_CONNECT',
  /* VIR_ERR_INVALID_CONN */ 6: 'VB_LIBVIRT_CLOSED',
  /* VIR_ERR_OPERATION_DENIED */ 29: 'VB_LIBVIRT_READ_ONLY',
  /* VIR_ERR_RPC */ 39: 'VB_LIBVIRT_CLOSED',
  /* VIR_ERR_GNUTLS_ERROR */ 40: 'VB_LIBVIRT_TLS',
  /* VIR_ERR_NO_DOMAIN */ 42: 'VB_LIBVIRT_NO_DOMAIN',
  /* VIR_ERR_AUTH_FAILED */ 45: 'VB_LIBVIRT_AUTHENTICATION',
  /* VIR_ERR_OPERATION_INVALID */ 55: 'VB_LIBVIRT_INVALID_STATE',
  /* VIR_ERR_CONFIG_UNSUPPORTED */ 67: 'VB_LIBVIRT_UNSUPPORTED',
  /* VIR_ERR_OPERATION_TIMEOUT */ 68: 'VB_LIBVIRT_BUSY',
  /* VIR_ERR_ARGUMENT_UNSUPPORTED */ 74: 'VB_LIBVIRT_UNSUPPORTED',
  /* VIR_ERR_AUTH_CANCELLED */ 79: 'VB_LIBVIRT_AUTHENTICATION',
  /* VIR_ERR_OPERATION_UNSUPPORTED */ 84: 'VB_LIBVIRT_UNSUPPORTED',
  /* VIR_ERR_AGENT_UNRESPONSIVE */ 86: 'VB_LIBVIRT_AGENT_UNRESPONSIVE',
  /* VIR_ERR_RESOURCE_BUSY */ 87: 'VB_LIBVIRT_BUSY',
  /* VIR_ERR_ACCESS_DENIED */ 88: 'VB_LIBVIRT_ACCESS_DENIED',
  /* VIR_ERR_AUTH_UNAVAILABLE */ 94: 'VB_LIBVIRT_AUTHENTICATION',
  /* VIR_ERR_AGENT_UNSYNCED */ 97: 'VB_LIBVIRT_AGENT_UNRESPONSIVE',
  /* VIR_ERR_NO_DOMAIN_CHECKPOINT */ 103: 'VB_LIBVIRT_NO_CHECKPOINT',
  /* VIR_ERR_NO_DOMAIN_BACKUP */ 104: 'VB_LIBVIRT_NO_BACKUP_JOB',
  /* VIR_ERR_CHECKPOINT_INCONSISTENT */ 109: 'VB_LIBVIRT_CHECKPOINT_INCONSISTENT',
};

const CURES: Readonly<Partial<Record<Code, string>>> = {
  VB_LIBVIRT_CONNECT: 'check the URI with virsh -c URI list, and that the daemon runs',
  VB_LIBVIRT_AUTHENTICATION: 'give a user and password that the daemon knows, or be a member of the group libvirt',
  VB_LIBVIRT_TLS: 'check the certificates of both sides, and that the URI names the host as its certificate does',
  VB_LIBVIRT_READ_ONLY: 'connect as a user that may change domains',
  VB_LIBVIRT_ACCESS_DENIED: 'give the user the right in the access driver of the daemon (polkit)',
  VB_LIBVIRT_NO_DOMAIN: 'virsh list --all shows the domains',
  VB_LIBVIRT_BUSY: 'wait until the other job of the domain has ended (virsh domjobinfo)',
  VB_LIBVIRT_NO_AGENT:
    'add the channel org.qemu.guest_agent.0 to the domain, and install qemu-guest-agent in the guest',
  VB_LIBVIRT_AGENT_UNRESPONSIVE: 'see whether qemu-guest-agent runs in the guest',
};

/** The calls that speak to the guest's agent. */
const AGENT_METHODS: readonly string[] = ['freeze', 'thaw', 'fileSystems', 'setAgentTimeout'];

/** @param method - a name of LibvirtConnection, or `open` */
export function meaningOf(method: string, native: NativeError): Meaning {
  const code = codeOf(method, native);
  return { code, message: `${WORDS[method] ?? method}: ${oneLine(native.message)}`, cure: CURES[code] };
}

function codeOf(method: string, native: NativeError): Code {
  const code = CODES[native.code] ?? 'VB_LIBVIRT_FAILED';
  if (method === 'open') return openingCode(code, native.message);
  // libvirt calls an agent that is not configured an unsupported argument.
  if (code === 'VB_LIBVIRT_UNSUPPORTED' && AGENT_METHODS.includes(method)) return 'VB_LIBVIRT_NO_AGENT';
  return code;
}

/** libvirt gives a certificate that is missing or wrong no number of its own. */
const CERTIFICATE_WORDS = /certificate|TLS|x509/i;

/** Whatever else prevents a connection: no such socket (38), no such host, ssh, a daemon that ends. */
function openingCode(code: Code, message: string): Code {
  if (CERTIFICATE_WORDS.test(message)) return 'VB_LIBVIRT_TLS';
  const own: readonly Code[] = ['VB_LIBVIRT_AUTHENTICATION', 'VB_LIBVIRT_TLS', 'VB_LIBVIRT_ACCESS_DENIED'];
  return own.includes(code) ? code : 'VB_LIBVIRT_CONNECT';
}

/** What each call does, for messages. */
const WORDS: Readonly<Record<string, string>> = {
  open: 'cannot connect to libvirt',
  host: 'cannot ask the host',
  domainCapabilities: 'cannot ask what the host can do',
  listDomains: 'cannot list the domains',
  findDomain: 'cannot find the domain',
  domainXml: 'cannot read the definition of the domain',
  defineDomain: 'cannot define the domain',
  createTransientDomain: 'cannot create the domain',
  undefineDomain: 'cannot undefine the domain',
  startDomain: 'cannot start the domain',
  suspendDomain: 'cannot pause the domain',
  resumeDomain: 'cannot resume the domain',
  shutdownDomain: 'cannot shut the domain down',
  destroyDomain: 'cannot stop the domain',
  setAutostart: 'cannot set the autostart of the domain',
  hasManagedSave: 'cannot ask whether the memory of the domain is saved',
  blockFacts: 'cannot ask for the size of the disk',
  diskErrors: 'cannot ask for errors of the disks',
  beginBackup: 'cannot begin the backup job',
  backupXml: 'cannot read the backup job',
  jobFacts: 'cannot ask for the job of the domain',
  abortJob: 'cannot end the job of the domain',
  createCheckpoint: 'cannot create the checkpoint',
  listCheckpoints: 'cannot list the checkpoints',
  checkpointXml: 'cannot read the checkpoint',
  deleteCheckpoint: 'cannot delete the checkpoint',
  monitor: 'cannot ask the QEMU of the domain',
  freeze: 'cannot freeze the file systems of the guest',
  thaw: 'cannot thaw the file systems of the guest',
  fileSystems: 'cannot ask the guest for its file systems',
  setAgentTimeout: 'cannot set the time-out of the guest agent',
};

/** Some messages of libvirt have several lines (the output of ssh, of QEMU). */
const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, '; ');
