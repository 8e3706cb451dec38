import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { VBackupError } from '@vbackup/core/errors';
import type { World } from '../world.js';
import { variable } from './paths.js';

/** A secret is a line, not a file of any size. */
const MAX_SECRET_LENGTH = 64 * 1024;
const COMMAND_TIMEOUT_MS = 60_000;

/** `VBACKUP_XEN_PASSWORD` for the option `password` of the plugin `xen`. */
export const variableName = (plugin: string, option: string): string =>
  `VBACKUP_${plugin}_${option}`.toUpperCase().replaceAll('-', '_');

export interface SecretQuestion {
  readonly plugin: string;
  readonly option: string;
  /** `<option>-file` and `<option>-command` of the plugin's table in the configuration. */
  readonly file?: string | undefined;
  readonly command?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Finds a secret: the variable, `…_FILE`, `…_COMMAND`, `…_FD`, `$CREDENTIALS_DIRECTORY/<plugin>-<option>`, then the
 * configuration's file or command. The first that is given counts; one line break at its end is not part of it.
 * @throws VBackupError VB_CLI_SECRET, whose message never holds the secret
 */
export async function findSecret(world: World, question: SecretQuestion): Promise<string | undefined> {
  const { plugin, option, signal } = question;
  const name = variableName(plugin, option);
  const given = variable(world, name);
  if (given !== undefined) return given;
  const file = variable(world, `${name}_FILE`);
  if (file !== undefined) return fromFile(resolve(world.cwd, file), signal);
  const command = variable(world, `${name}_COMMAND`);
  if (command !== undefined) return fromCommand(command, world, signal);
  const descriptor = variable(world, `${name}_FD`);
  if (descriptor !== undefined) return fromDescriptor(descriptor, `${name}_FD`, signal);
  const credentials = variable(world, 'CREDENTIALS_DIRECTORY');
  const credential = credentials && (await fromFile(join(credentials, `${plugin}-${option}`), signal, true));
  if (credential) return credential;
  if (question.file !== undefined) return fromFile(question.file, signal);
  return question.command === undefined ? undefined : fromCommand(question.command, world, signal);
}

async function fromFile(path: string, signal: AbortSignal): Promise<string>;
async function fromFile(path: string, signal: AbortSignal, optional: boolean): Promise<string | undefined>;
async function fromFile(path: string, signal: AbortSignal, optional = false): Promise<string | undefined> {
  try {
    return await readSecret(createReadStream(path, { signal }), path);
  } catch (cause) {
    if (optional && cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw asSecretError(cause, `cannot read the secret in ${path}`);
  }
}

async function fromDescriptor(text: string, name: string, signal: AbortSignal): Promise<string> {
  const fd = /^\d{1,6}$/.test(text) ? Number(text) : undefined;
  if (fd === undefined) throw new VBackupError('VB_CLI_SECRET', `${name} is not the number of a file descriptor`);
  try {
    return await readSecret(createReadStream('', { fd, signal }), name);
  } catch (cause) {
    throw asSecretError(cause, `cannot read the secret of ${name} from file descriptor ${fd}`);
  }
}

async function fromCommand(command: string, world: World, signal: AbortSignal): Promise<string> {
  const child = spawn('/bin/sh', ['-c', command], {
    cwd: world.cwd,
    env: { ...world.env },
    stdio: ['ignore', 'pipe', 'inherit'],
    signal: AbortSignal.any([signal, AbortSignal.timeout(COMMAND_TIMEOUT_MS)]),
  });
  const ended = new Promise<number | null>((done, failed) => {
    child.once('error', failed).once('close', (code) => done(code));
  });
  try {
    const [secret, code] = await Promise.all([readSecret(child.stdout, 'its output'), ended]);
    if (code === 0) return secret;
    throw new VBackupError('VB_CLI_SECRET', `the command of a secret ended with ${code ?? 'a signal'}: ${command}`);
  } catch (cause) {
    child.kill();
    throw asSecretError(cause, `cannot get a secret from the command: ${command}`);
  }
}

async function readSecret(source: Readable, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > MAX_SECRET_LENGTH) throw new VBackupError('VB_CLI_SECRET', `${what} is too long to be a secret`);
    chunks.push(bytes);
  }
  const secret = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (secret === '') throw new VBackupError('VB_CLI_SECRET', `${what} holds no secret: it is empty`);
  return secret;
}

const asSecretError = (cause: unknown, message: string): VBackupError =>
  cause instanceof VBackupError ? cause : new VBackupError('VB_CLI_SECRET', message, { cause });
