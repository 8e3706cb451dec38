import * as v from 'valibot';
import { calls } from '../wire/index.js';

const DomainSchema = v.object({ domain: v.string() });
const JobSchema = v.object({ domain: v.string(), xml: v.string() });

/** What the client did to domains and has not taken back: if it dies, somebody else must. */
export class Owed {
  /** Asked to freeze, and not thawed since. */
  readonly frozen = new Set<string>();
  /** Asked to pause, and not resumed since. */
  readonly paused = new Set<string>();
  /** By domain, the first scratch file of the job that was begun and not ended since. */
  readonly jobs = new Map<string, string>();

  get any(): boolean {
    return this.frozen.size + this.paused.size + this.jobs.size > 0;
  }

  /** A call is about to be made: it may be executed though nobody hears of it. */
  before(call: string, values: unknown): void {
    const domain = domainOf(values);
    if (domain === undefined) return;
    if (call === calls.freeze.name) this.frozen.add(domain);
    if (call === calls.suspendDomain.name) this.paused.add(domain);
    const job = call === calls.beginBackup.name ? v.safeParse(JobSchema, values) : undefined;
    const scratch = job?.success === true ? scratchOf(job.output.xml) : null;
    if (scratch !== null) this.jobs.set(domain, scratch);
  }

  /** A call succeeded. */
  after(call: string, values: unknown): void {
    if (call === calls.close.name) for (const each of [this.frozen, this.paused, this.jobs]) each.clear();
    const domain = domainOf(values);
    if (domain === undefined) return;
    if (call === calls.thaw.name) this.frozen.delete(domain);
    if (call === calls.resumeDomain.name) this.paused.delete(domain);
    if (call === calls.abortJob.name) this.jobs.delete(domain);
  }
}

function domainOf(values: unknown): string | undefined {
  const parsed = v.safeParse(DomainSchema, values);
  return parsed.success ? parsed.output.domain : undefined;
}

/** What tells a job from another, wherever its disks are read: its first scratch file, whose name nobody else uses. */
export function scratchOf(xml: string): string | null {
  return /<scratch\b[^>]*\bfile=["']([^"']+)["']/.exec(xml)?.[1] ?? null;
}
