import type { WorkEvent } from '@vbackup/core';
import { type Failure, failureOf } from '../failure.js';
import type { World } from '../world.js';
import type { CommandName, DiskResult, ItemSummary, OutputEvent, Renderer, RunSummary } from './events.js';
import { Rate } from './rate.js';

/** How often a disk's progress is told. */
const PROGRESS_MS = 500;

interface DiskProgress {
  readonly rate: Rate;
  readonly audit?: true;
  toldAt: number;
  planned: number;
}

/** Turns what happens into output events and hands them to every renderer. */
export class Output {
  readonly #world: World;
  readonly #command: CommandName;
  #renderers: readonly Renderer[];
  readonly #disks = new Map<string, DiskProgress>();

  constructor(world: World, command: CommandName, renderers: readonly Renderer[]) {
    this.#world = world;
    this.#command = command;
    this.#renderers = renderers;
  }

  start(version: string): void {
    this.#emit({ type: 'start', scope: 'run', command: this.#command, version });
  }

  item(summary: ItemSummary): void {
    this.#emit('elapsedMs' in summary ? { ...summary, elapsedMs: Math.round(summary.elapsedMs) } : summary);
  }

  finish(summary: Omit<RunSummary, 'type' | 'scope' | 'command'>): void {
    this.#emit({ type: 'summary', scope: 'run', command: this.#command, ...summary });
  }

  warning(code: string, message: string, disk?: string): void {
    this.#emit({ type: 'warning', code, message, disk: disk ?? null });
  }

  error(failure: Failure, subject?: string): void {
    const { code, message, cure, exitCode, causes, stack } = failure;
    this.#emit({
      type: 'error',
      code,
      message,
      cure: cure ?? null,
      subject: subject ?? null,
      exitCode,
      causes,
      stack: stack ?? null,
    });
  }

  close(): void {
    for (const renderer of this.#renderers) renderer.close();
  }

  /** For `onEvent` of a job. */
  readonly work = (event: WorkEvent): void => {
    switch (event.type) {
      case 'start':
        this.#disks.clear();
        this.#emit({ type: 'start', scope: 'item', command: this.#command, id: event.id, guest: event.guest });
        break;
      case 'disk-start': {
        const { disk, size, level, reason, detail, planned } = event;
        this.#disks.set(disk, { rate: new Rate(), toldAt: Number.NEGATIVE_INFINITY, planned });
        const why = { reason: reason ?? null, detail: detail ?? null };
        this.#emit({ type: 'start', scope: 'disk', command: this.#command, disk, size, level, ...why, planned });
        break;
      }
      case 'audit-start': {
        const { disk, share, shares, planned } = event;
        this.#disks.set(disk, { rate: new Rate(), toldAt: Number.NEGATIVE_INFINITY, planned, audit: true });
        this.#emit({ type: 'start', scope: 'audit', command: this.#command, disk, share, shares, planned });
        break;
      }
      case 'progress':
        this.#progress(event.disk, event.done, event.planned);
        break;
      case 'warning':
        this.warning(event.code, event.message, event.disk);
        break;
      case 'audit-done':
        this.#done(event.disk, { read: event.length, data: 0, stored: 0, elapsedMs: event.elapsedMs }, event.length);
        break;
      case 'disk-done': {
        const { disk, read, data, stored, elapsedMs } = event;
        this.#done(disk, { read, data, stored, elapsedMs }, this.#disks.get(disk)?.planned ?? read);
        break;
      }
    }
  };

  #done(disk: string, result: DiskResult, done: number): void {
    const { planned, audit } = this.#disks.get(disk) ?? { planned: done };
    const elapsedMs = Math.round(result.elapsedMs);
    const rate = result.elapsedMs > 0 ? Math.round((done / result.elapsedMs) * 1000) : 0;
    const finished = { ...result, elapsedMs };
    this.#emit({ type: 'progress', disk, audit, done, planned, rate, secondsLeft: 0, finished });
    this.#disks.delete(disk);
  }

  #progress(disk: string, done: number, planned: number): void {
    const known = this.#disks.get(disk);
    if (known === undefined) return;
    known.planned = planned;
    const time = this.#world.now();
    if (time - known.toldAt < PROGRESS_MS) return;
    known.toldAt = time;
    const rate = Math.round(known.rate.update(done, time));
    const secondsLeft = rate > 0 ? Math.round((planned - done) / rate) : null;
    this.#emit({ type: 'progress', disk, audit: known.audit, done, planned, rate, secondsLeft });
  }

  #emit(event: OutputEvent): void {
    const time = new Date(this.#world.now());
    for (const renderer of this.#renderers) {
      try {
        renderer.show(event, time);
      } catch (error) {
        this.#drop(renderer, error);
      }
    }
  }

  /** A log that cannot be written any more must not end a backup. */
  #drop(broken: Renderer, error: unknown): void {
    this.#renderers = this.#renderers.filter((renderer) => renderer !== broken);
    const { code, message } = failureOf(error);
    this.warning(code, `some of the output is lost from here on: ${message}`);
  }
}
