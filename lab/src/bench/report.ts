import type { Absence, Standing, Verdict } from './contest.js';

const MiB = 1024 * 1024;

/** What a bench found out, in the order of running. */
export interface Result {
  readonly standings: readonly Standing[];
  readonly absences: readonly Absence[];
}

/** One line for people: what was measured is the ratio; the rest says how much noise there was. */
export function standingLine(standing: Standing): string {
  const cells = [
    standing.contest.padEnd(36),
    standing.contender.padEnd(28),
    secondsText(standing).padStart(9),
    `${cpuText(standing)} CPU s/GiB`.padStart(15),
    peakText(standing).padStart(8),
    `time ×${standing.timeRatio.toFixed(2)}`.padStart(11),
    `CPU ×${standing.cpuRatio.toFixed(2)}`.padStart(10),
    verdictText(standing),
  ];
  return cells.join(' ').trimEnd();
}

/** A table for docs/benchmarks.md, under what it was measured on. */
export function markdown({ standings, absences }: Result, machine: readonly string[]): string {
  const head = ['work', 'who', 'time', 'CPU s/GiB', 'peak', 'time to peer', 'CPU to peer', 'target'];
  const rows = standings.map((standing) => [
    standing.contest,
    standing.contender,
    secondsText(standing),
    cpuText(standing),
    peakText(standing),
    standing.timeRatio.toFixed(2),
    standing.cpuRatio.toFixed(2),
    verdictText(standing),
  ]);
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const missing = absences.map(({ name, absent }) => `${MISSING}${name}: ${absent}`);
  return [...machine.map((line) => `- ${line}`), '', ...lines, '', ...missing].join('\n');
}

/** What {@link markdown} made before, with newer rows in the place of those of the same work, and the others behind them. */
export function withNewer(before: string, newer: string): string {
  const [old, now] = [partsOf(before), partsOf(newer)];
  const renewed = new Set([...now.rows, ...now.missing].map(workOf));
  const merge = (kind: 'rows' | 'missing'): readonly string[] => {
    const left = new Map(Map.groupBy(now[kind], workOf));
    const lines: string[] = [];
    for (const line of old[kind]) {
      const work = workOf(line);
      lines.push(...(renewed.has(work) ? (left.get(work) ?? []) : [line]));
      left.delete(work);
    }
    return [...lines, ...[...left.values()].flat()];
  };
  return [...now.machine, '', ...now.head, ...merge('rows'), '', ...merge('missing')].join('\n');
}

const MISSING = '- not run: ';

interface Parts {
  readonly machine: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly string[];
  readonly missing: readonly string[];
}

function partsOf(text: string): Parts {
  const lines = text.split('\n');
  const table = lines.filter((line) => line.startsWith('|'));
  const notes = lines.filter((line) => line.startsWith('- '));
  const [missing, machine] = [true, false].map((is) => notes.filter((line) => line.startsWith(MISSING) === is));
  return { machine: machine ?? [], head: table.slice(0, 2), rows: table.slice(2), missing: missing ?? [] };
}

/** What a line of the table, or one below it, is about. */
const workOf = (line: string): string =>
  line.startsWith(MISSING) ? (line.slice(MISSING.length).split(': ')[0] ?? '') : (line.split(' | ')[0] ?? '').slice(2);

/** One JSON object for machines. */
export const json = (result: Result, machine: readonly string[]): string =>
  JSON.stringify({ machine, ...result }, undefined, 2);

/** The demands that were not met. */
export const misses = ({ standings }: Result): readonly string[] =>
  standings.flatMap(({ contest, verdicts }) =>
    verdicts.filter(({ met }) => !met).map((verdict) => `${contest}: ${demandText(verdict)}`),
  );

const secondsText = ({ seconds }: Standing): string => `${seconds.toFixed(3)} s`;

/** Nothing where the work has no bytes. */
const cpuText = ({ cpuSecondsPerGiB }: Standing): string =>
  Number.isNaN(cpuSecondsPerGiB) ? '–' : cpuSecondsPerGiB.toFixed(2);

const peakText = ({ peakBytes }: Standing): string =>
  peakBytes === undefined ? '–' : `${Math.round(peakBytes / MiB)} MiB`;

/** Memory is told only where it is too much, or is what the row is about. */
function verdictText({ verdicts }: Standing): string {
  const told = verdicts.filter(({ measure, met, against }) => measure !== 'peakBytes' || !met || against !== '');
  if (told.length === 0) return verdicts.length === 0 ? '' : 'met';
  return told.map((verdict) => `${demandText(verdict)} ${verdict.met ? 'met' : 'NOT MET'}`).join('; ');
}

function demandText({ measure, against, value, limit }: Verdict): string {
  if (measure === 'seconds') return `${value.toFixed(2)} s (at most ${limit} s)`;
  if (measure === 'peakBytes') return `${Math.round(value / MiB)} MiB (at most ${Math.round(limit / MiB)} MiB)`;
  return `${measure} ×${value.toFixed(2)} of ${against} (at most ×${limit})`;
}
