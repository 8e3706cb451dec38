import { isAbsolute } from 'node:path';
import { type OptionSchema, type OptionValues, VBackupError } from '@vbackup/core';
import { z } from 'zod';

export const LIBVIRT_OPTIONS = {
  uri: {
    type: 'string',
    description: "the connection, as virsh takes it (default: libvirt's own)",
    placeholder: 'URI',
  },
  user: { type: 'string', description: 'the user, where the daemon asks for one (SASL)', placeholder: 'NAME' },
  password: { type: 'string', description: "the user's password", secret: true },
  exclude: {
    type: 'string',
    description: 'disks that are not backed up, by target, with commas between: vdb,vdc',
    placeholder: 'DISKS',
    alias: 'exclude',
  },
  freeze: {
    type: 'boolean',
    description: "freeze the guest's file systems at the instant of the backup, by its agent",
    alias: 'freeze',
  },
  'freeze-mountpoints': {
    type: 'string',
    description: 'freeze only these, with commas between: /,/var',
    placeholder: 'PATHS',
  },
  pause: { type: 'boolean', description: 'pause the guest at the instant of the backup', alias: 'pause' },
  scratch: {
    type: 'string',
    description: "the host's folder for what the guest overwrites while it is read (default: /var/tmp)",
    placeholder: 'FOLDER',
  },
  'socket-folder': {
    type: 'string',
    description: 'the folder of the socket that the disks are read from (default: /var/tmp)',
    placeholder: 'FOLDER',
  },
} as const satisfies OptionSchema;

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
}

const ValuesSchema = z.object({
  uri: z.string().default(''),
  user: z.string().optional(),
  password: z.string().optional(),
  exclude: z.string().default(''),
  freeze: z.boolean().optional(),
  'freeze-mountpoints': z.string().default(''),
  pause: z.boolean().default(false),
  scratch: z.string().default('/var/tmp'),
  'socket-folder': z.string().default('/var/tmp'),
});

/** sockaddr_un holds 108 bytes with the end, and the socket lies in the folder under a name of its own. */
const LONGEST_SOCKET_FOLDER = 40;

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseOptions(values: OptionValues): LibvirtOptions {
  const parsed = ValuesSchema.safeParse(values);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(issue?.path.join('.') ?? '', issue?.message.toLowerCase() ?? 'invalid');
  }
  const { uri, user, password, exclude, freeze, pause, scratch } = parsed.data;
  const mountpoints = listOf(parsed.data['freeze-mountpoints']);
  const relative = mountpoints.find((path) => !isAbsolute(path));
  if (relative !== undefined) throw invalid('freeze-mountpoints', `${JSON.stringify(relative)} is no absolute path`);
  const socketFolder = parsed.data['socket-folder'];
  for (const [name, path] of [
    ['scratch', scratch],
    ['socket-folder', socketFolder],
  ] as const) {
    if (!isAbsolute(path)) throw invalid(name, `${JSON.stringify(path)} is no absolute path`);
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
  };
}

const listOf = (text: string): readonly string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

const invalid = (name: string, fault: string): VBackupError =>
  new VBackupError('VB_PLUGIN_OPTION', `option ${name} of libvirt: ${fault}`);
