import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CommandOptions, type CommandResult, runCommand } from './command.js';

const MAX_OUTPUT = 64 * 1024 * 1024;

/** A range of a file, and the byte or the bytes that it is filled with. */
export interface Filling {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A folder with disk images, and the command as a user would run it there. */
export class CommandFolder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<CommandFolder> {
    return new CommandFolder(await mkdtemp(join(tmpdir(), 'vbackup-command-')));
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Makes a sparse file. @returns its path */
  async file(name: string, size: number, fillings: readonly Filling[] = []): Promise<string> {
    await using file = await open(this.at(name), 'w');
    await file.truncate(size);
    for (const { offset, bytes } of fillings) await file.write(bytes, 0, bytes.length, offset);
    return this.at(name);
  }

  run(line: string, options: CommandOptions = {}): Promise<CommandResult> {
    return runCommand(line.split(' ').filter(Boolean), { cwd: this.path, ...options });
  }

  /** Runs it, expects success, and gives its standard output. */
  async done(line: string): Promise<string> {
    const { code, out, err } = await this.run(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  }

  /** Runs it, expects that exit code and that error, and nothing on standard output. @returns standard error */
  async refused(line: string, exitCode: number, code: string): Promise<string> {
    const result = await this.run(line);
    assert.equal(result.code, exitCode, `vbackup ${line}\n${result.out}${result.err}`);
    assert.match(result.err, new RegExp(`^vbackup: .*\\[${code}\\]$`, 'm'));
    assert.equal(result.out, '');
    return result.err;
  }

  /** What another program says. */
  tool(program: string, ...args: readonly string[]): string {
    return execFileSync(program, args, { cwd: this.path, encoding: 'utf8', maxBuffer: MAX_OUTPUT });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true });
  }
}
