import { isAbsolute } from 'node:path';
import { type OptionValues, VBackupError } from '@vbackup/core';
import { z } from 'zod';

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
