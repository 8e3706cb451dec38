import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { LabMode } from './daemon-config.js';
import { labScript } from './guest-image.js';
import type { LabPaths } from './paths.js';

/** Gives the daemon mounts and process numbers of its own; all its processes die with the first one. */
const NAMESPACES = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const AS_NOBODY = ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups'];

/** The process that starts a lab's daemon, again if need be, and ends everything when its stdin ends. */
export class Supervisor {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  static async start(mode: LabMode, paths: LabPaths): Promise<Supervisor> {
    const prefix = mode === 'system' ? NAMESPACES : isRoot() ? AS_NOBODY : [];
    const [program, ...args] = [...prefix, 'bash', labScript('supervise.sh'), paths.folder, mode] as const;
    await using output = await open(paths.daemonOutput, 'a', 0o666);
    // Its own session: an interrupt from the terminal reaches the test, which then ends the lab in order.
    const child = spawn(program, args, { stdio: ['pipe', output.fd, output.fd], detached: true });
    await once(child, 'spawn');
    return new Supervisor(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit').catch(() => undefined);
    child.stdin?.on('error', () => {
      // It ended before us; whoever asks for the daemon will see that it is not there.
    });
  }

  /** Starts the daemon; returns before it listens. */
  startDaemon(): void {
    this.#child.stdin?.write('start\n');
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}

export const isRoot = (): boolean => process.getuid?.() === 0;
