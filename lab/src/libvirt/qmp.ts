import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

const ANSWER_TIMEOUT_MS = 30_000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * A monitor of QEMU's own (docs/interop/qmp-spec.rst), beside the one that belongs to libvirt: it answers also while libvirtd is
 * dead.
 */
export class Qmp implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #rest = '';

  static async connect(path: string): Promise<Qmp> {
    const socket = createConnection(path);
    await once(socket, 'connect');
    const monitor = new Qmp(socket);
    await monitor.execute('qmp_capabilities');
    return monitor;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => this.#receive(text));
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => {
      if (this.#waiting.length > 0) socket.destroy(new Error('QEMU does not answer'));
    });
    socket.on('error', (error) => this.#fail(error)).on('close', () => this.#fail(new Error('QEMU is gone')));
  }

  /** One command; returns what stands behind `return`. @throws Error with what stands behind `error` */
  execute(command: string, values: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#socket.destroyed) return Promise.reject(new Error('QEMU is gone'));
    this.#waiting.push({ resolve, reject });
    this.#socket.write(JSON.stringify({ execute: command, arguments: values }));
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    if (!this.#socket.closed) await once(this.#socket, 'close');
  }

  #receive(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const message: unknown = JSON.parse(line);
      if (typeof message !== 'object' || message === null) continue;
      if ('return' in message) this.#waiting.shift()?.resolve(message.return);
      else if ('error' in message) this.#waiting.shift()?.reject(new Error(JSON.stringify(message.error)));
    }
  }

  #fail(error: Error): void {
    for (const each of this.#waiting.splice(0)) each.reject(error);
  }
}
