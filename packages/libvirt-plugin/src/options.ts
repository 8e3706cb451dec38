import { isAbsolute } from 'node:path';
import type { OptionValues } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { shapeFault, shapePath } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';

export interface LibvirtOptions {
  readonly uri: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Target names. */
  readonly exclude: readonly string[];
  /** Mount points to freeze, none for all; null if nothing is frozen. */
  readonly freeze: readonly string[] | null;
  readonly pause: boolean;
  readonly scratchFolder: string;
  readonly socketFolder: string;
  readonly nbd: RemoteNbdOptions;
  /** A program that makes the daemon forget a job that it lost; null for none. */
  readonly repair: string | null;
}

/** How the disks of a domain on another host are read. */
export interface RemoteNbdOptions {
  readonly certificates: string | null;
  readonly insecure: boolean;
  /** Null: that of the URI. */
  readonly host: string | null;
  readonly port: number;
  /** Null: the same as the host. */
  readonly listen: string | null;
}

/** The port that IANA gave to NBD. */
const NBD_PORT = 10_809;

const ValuesSchema = v.object({
  uri: v.optional(v.string(), ''),
  user: v.optional(v.string()),
  password: v.optional(v.string()),
  exclude: v.optional(v.string(), ''),
  freeze: v.optional(v.boolean()),
  'freeze-mountpoints': v.optional(v.string(), ''),
  pause: v.optional(v.boolean(), false),
  scratch: v.optional(v.string(), '/var/tmp'),
  'socket-folder': v.optional(v.string(), '/var/tmp'),
  repair: v.optional(v.pipe(v.string(), v.minLength(1))),
  'nbd-tls-certificates': v.optional(v.pipe(v.string(), v.minLength(1))),
  'nbd-host': v.optional(v.pipe(v.string(), v.minLength(1))),
  'nbd-port': v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(65_535)), NBD_PORT),
  'nbd-listen': v.optional(v.pipe(v.string(), v.minLength(1))),
  'nbd-insecure': v.optional(v.boolean(), false),
});
type Values = v.InferOutput<typeof ValuesSchema>;

/** sockaddr_un holds 108 bytes with the end, and the socket lies in the folder under a name of its own. */
const LONGEST_SOCKET_FOLDER = 40;

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseOptions(values: OptionValues): LibvirtOptions {
  const parsed = v.safeParse(ValuesSchema, values);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw invalid(shapePath(issue), shapeFault(issue));
  }
  const { uri, user, password, exclude, freeze, pause, scratch } = parsed.output;
  const mountpoints = listOf(parsed.output['freeze-mountpoints']);
  const relative = mountpoints.find((path) => !isAbsolute(path));
  if (relative !== undefined) throw invalid('freeze-mountpoints', `${JSON.stringify(relative)} is no absolute path`);
  const socketFolder = parsed.output['socket-folder'];
  for (const [name, path] of [
    ['scratch', scratch],
    ['socket-folder', socketFolder],
    ['repair', parsed.output.repair],
  ] as const) {
    if (path !== undefined && !isAbsolute(path)) throw invalid(name, `${JSON.stringify(path)} is no absolute path`);
  }
  if (Buffer.byteLength(socketFolder) > LONGEST_SOCKET_FOLDER) {
    throw invalid('socket-folder', `the path has more than ${LONGEST_SOCKET_FOLDER} bytes, too many for a socket`);
  }
  const freezes = freeze ?? mountpoints.length > 0;
  return {
    uri,
    user,
    password,
    exclude: listOf(exclude),
    freeze: freezes ? mountpoints : null,
    pause,
    scratchFolder: scratch,
    socketFolder,
    nbd: remoteNbd(parsed.output),
    repair: parsed.output.repair ?? null,
  };
}

function remoteNbd(values: Values): RemoteNbdOptions {
  const certificates = values['nbd-tls-certificates'] ?? null;
  const insecure = values['nbd-insecure'];
  if (insecure && certificates !== null) throw invalid('nbd-insecure', 'it does not fit together with certificates');
  return {
    certificates,
    insecure,
    host: values['nbd-host'] ?? null,
    port: values['nbd-port'],
    listen: values['nbd-listen'] ?? null,
  };
}

const listOf = (text: string): readonly string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const invalid = (name: string, fault: string): VBackupError =>
  new VBackupError('VB_PLUGIN_OPTION', `option ${name} of libvirt: ${fault}`);
