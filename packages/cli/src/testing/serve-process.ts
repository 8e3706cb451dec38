import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { BIN } from './command.js';
import { parseJsonLines } from './json-promise.js';

type Line = ReturnType<typeof parseJsonLines>[number];
type Ready = Extract<Line, { command: 'serve'; exports: unknown }>;

/** `vbackup serve --json` in a process of its own, which listens. */
export class ServeProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #out = '';
  #err = '';
  #heard: () => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#closed = once(child, 'close');
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text;
      this.#heard();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text;
    });
    child.once('close', () => this.#heard());
  }

  /** Waits until clients may connect. */
  static async start(line: string, { cwd }: { readonly cwd: string }): Promise<ServeProcess> {
    const args = [BIN, 'serve', '--json', ...line.split(' ')];
    const env = {
      PATH: process.env['PATH'],
      HOME: '/nowhere',
      XDG_CONFIG_HOME: '/nowhere',
      VBACKUP_CONFIG: '/dev/null',
    };
    const served = new ServeProcess(spawn(process.execPath, args, { cwd, env }));
    await served.#until((lines) => lines.some((each) => each.type === 'summary' || each.type === 'error'));
    assert.ok(served.ready !== undefined, `vbackup serve ${line}\n${served.#out}${served.#err}`);
    return served;
  }

  /** What was told of the exports. */
  get ready(): Ready | undefined {
    return this.lines.find((line): line is Ready => 'command' in line && line.command === 'serve' && 'exports' in line);
  }

  /** Every whole line of JSON so far. */
  get lines(): Line[] {
    return parseJsonLines(this.#out.split('\n').slice(0, -1));
  }

  get errors(): Extract<Line, { type: 'error' }>[] {
    return this.lines.filter((line) => line.type === 'error');
  }

  uri(name: string): string {
    const found = this.ready?.exports.find((each) => each.name === name);
    assert.ok(
      found !== undefined,
      `no export ${name} among ${this.ready?.exports.map((each) => each.name).join(', ')}`,
    );
    return found.uri;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until the process is gone. @returns its exit code, or its signal */
  async exit(): Promise<number | string | null> {
    await this.#closed;
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM');
    await this.#closed;
  }

  async #until(found: (lines: readonly Line[]) => boolean): Promise<void> {
    while (!found(this.lines) && this.#child.exitCode === null) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }
}
