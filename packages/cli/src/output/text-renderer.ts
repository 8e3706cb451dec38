import type { Manifest } from '@vbackup/core';
import type { World } from '../world.js';
import type {
  CommandName,
  DiskResult,
  ErrorEvent,
  OutputEvent,
  ProgressEvent,
  Renderer,
  RunSummary,
  StartEvent,
  SummaryEvent,
} from './events.js';
import { formatBytes, formatPercent, formatSeconds, printable } from './format.js';
import { LiveLines } from './live-lines.js';
import { damageLine, listLines, resultLines } from './results.js';

/** How often progress is told where nothing can be drawn in place. */
const PROGRESS_LINE_MS = 60_000;

export interface TextOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly progress: boolean;
  readonly color: boolean;
}

/** For people: results to standard output, everything else to standard error. */
export class TextRenderer implements Renderer {
  readonly #world: World;
  readonly #options: TextOptions;
  readonly #live: LiveLines | undefined;
  readonly #lineAt = new Map<string, number>();
  readonly #listed: Manifest[] = [];
  #command: CommandName = 'backup';

  constructor(world: World, options: TextOptions) {
    this.#world = world;
    this.#options = options;
    if (world.stderr.isTTY && options.progress && !options.quiet) this.#live = new LiveLines(world.stderr);
  }

  show(event: OutputEvent, time: Date): void {
    switch (event.type) {
      case 'start':
        this.#start(event);
        break;
      case 'progress':
        if (!this.#options.quiet) this.#progress(event, time.getTime());
        break;
      case 'warning':
        if (this.#options.quiet) break;
        this.#say(
          `${this.#paint('33', 'vbackup: warning:')} ${event.disk === null ? '' : `${printable(event.disk)}: `}` +
            `${printable(event.message)} [${event.code}]`,
        );
        break;
      case 'summary':
        this.#summary(event);
        break;
      case 'error':
        this.#error(event);
        break;
    }
  }

  close(): void {
    this.#live?.clear();
  }

  #start(event: StartEvent): void {
    this.#command = event.command;
    if (this.#options.quiet) return;
    if (event.scope === 'run') {
      if (this.#options.verbose) this.#say(`vbackup ${event.version}: ${event.command}`);
    } else if (event.scope === 'item') {
      this.#say(`${event.command} ${event.id}: ${printable(event.guest)}`);
    } else if (event.scope === 'audit') {
      const share = `share ${event.share + 1} of ${event.shares}`;
      this.#say(
        `${printable(event.disk)}: audit of ${formatBytes(event.planned)} of what is called unchanged, ${share}`,
      );
      this.#lineAt.set(event.disk, this.#world.now());
    } else if (event.command === 'vma extract' || event.command === 'vma verify') {
      const work = event.command === 'vma extract' ? 'extraction' : 'check';
      this.#say(`${printable(event.disk)}: ${work} of ${formatBytes(event.size)}`);
      this.#lineAt.set(event.disk, this.#world.now());
    } else if (event.command === 'copy') {
      const verified = event.planned > event.size ? ', to be verified' : '';
      this.#say(`${printable(event.disk)}: copy of ${formatBytes(event.size)}${verified}`);
      this.#lineAt.set(event.disk, this.#world.now());
    } else {
      const reason = event.reason === null ? '' : ` (${event.reason})`;
      const detail = event.detail === null ? '' : `: ${printable(event.detail)}`;
      const planned = `${formatBytes(event.planned)} of ${formatBytes(event.size)}`;
      this.#say(`${printable(event.disk)}: ${event.level}${reason}${detail}, ${planned}`);
      this.#lineAt.set(event.disk, this.#world.now());
    }
  }

  #progress(event: ProgressEvent, time: number): void {
    const disk = printable(event.disk);
    if (event.finished !== undefined) {
      const { elapsedMs } = event.finished;
      this.#live?.remove(event.disk);
      const rate = `${formatSeconds(elapsedMs / 1000)}, ${formatBytes(event.rate)}/s`;
      const what = event.audit === true ? auditText(event.finished) : finishedText(this.#command, event.finished);
      this.#say(`${disk}: ${what} in ${rate}`);
      return;
    }
    if (!this.#options.progress) return;
    const left = event.secondsLeft === null ? '' : `  ${formatSeconds(event.secondsLeft)} left`;
    const bytes = `${formatBytes(event.done)} of ${formatBytes(event.planned)}`;
    const work = event.audit === true ? 'audit ' : '';
    const line = `${disk}: ${work}${formatPercent(event.done, event.planned)}  ${bytes}  ${formatBytes(event.rate)}/s${left}`;
    if (this.#live !== undefined) {
      this.#live.set(event.disk, line, time);
    } else if (time - (this.#lineAt.get(event.disk) ?? 0) >= PROGRESS_LINE_MS) {
      this.#lineAt.set(event.disk, time);
      this.#say(line);
    }
  }

  #summary(event: SummaryEvent): void {
    if (event.scope === 'run') {
      this.#run(event);
    } else if (event.command === 'list') {
      this.#listed.push(event.backup);
    } else if (!this.#options.quiet || isAnswer(event)) {
      this.#result(resultLines(event));
    }
  }

  #run(event: RunSummary): void {
    if (this.#listed.length > 0) this.#result(listLines(this.#listed));
    if (event.damage !== undefined) this.#result(event.damage.map(damageLine));
    if (this.#options.quiet) return;
    if (event.command === 'list' && event.done === 0) this.#say('no backups');
    if (event.command === 'verify') {
      this.#say(`${event.done} good, ${event.failed} damaged in ${formatSeconds(event.elapsedMs / 1000)}`);
    } else if (event.command === 'backup' && event.failed > 0) {
      this.#say(`${event.done} done, ${event.failed} failed`);
    }
  }

  #error(event: ErrorEvent): void {
    const subject = event.subject === null ? '' : `${printable(event.subject)}: `;
    const lines = [`${this.#paint('31', 'vbackup:')} ${subject}${printable(event.message)} [${event.code}]`];
    if (event.cure !== null) lines.push(`  ${printable(event.cure)}`);
    if (this.#options.verbose) {
      lines.push(...event.causes.map((cause) => `  caused by: ${printable(cause)}`));
      if (event.stack !== null) lines.push(...event.stack.split('\n').map((line) => `  ${printable(line)}`));
    }
    this.#say(lines.join('\n'));
  }

  #say(text: string): void {
    if (this.#live === undefined) this.#world.stderr.write(`${text}\n`);
    else this.#live.above(`${text}\n`);
  }

  #result(lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#live?.clear();
    this.#world.stdout.write(`${lines.join('\n')}\n`);
  }

  #paint(color: string, text: string): string {
    return this.#options.color ? `\x1b[${color}m${text}\x1b[0m` : text;
  }
}

/** A difference is told by a warning. */
const auditText = ({ read }: DiskResult): string => `${formatBytes(read)} audited`;

function finishedText(command: CommandName, { read, data, stored }: DiskResult): string {
  if (command === 'restore') return `${formatBytes(data)} written`;
  if (command === 'copy') return `${formatBytes(read)} read, ${formatBytes(data)} data`;
  if (command === 'vma extract' || command === 'vma verify') return `${formatBytes(data)} data`;
  if (command === 'verify') return `${formatBytes(read)} checked`;
  return `${formatBytes(read)} read, ${formatBytes(data)} data, ${formatBytes(stored)} stored`;
}

/** What was asked for is shown with -q too: the answer of a question, and damage. */
const isAnswer = (event: SummaryEvent): boolean =>
  event.scope === 'item' &&
  (event.command === 'info' ||
    event.command === 'map' ||
    event.command === 'serve' ||
    event.command === 'mount' ||
    event.command === 'completion' ||
    (event.command.startsWith('vma ') && !('written' in event) && event.command !== 'vma extract') ||
    (event.command === 'verify' && event.damage.length > 0) ||
    (event.command === 'doctor' && event.state !== 'good'));
