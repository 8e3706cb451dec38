// `pnpm kill-test-libvirt [runs] [seed]`: kills something of so many backups at random moments, and says what came of each.
import { killLibvirtRuns } from './kill-libvirt-runs.js';

const [runs = '100', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
process.stdout.write(`${runs} runs, seed ${seed}\n`);
const report = await killLibvirtRuns({
  runs: Number(runs),
  seed: Number(seed),
  onRun: (line) => void process.stdout.write(`${line}\n`),
});
process.stdout.write(
  `${runs} runs: in ${report.killed} something was killed, ${report.committed} of them made a backup all the same.` +
    ` After ${report.repaired} libvirtd was made to forget its job, after ${report.ended} QEMU to end one.` +
    ` ${report.compared} backups hold what the guest had written at one instant, every guest ran on or was started,` +
    ' the repositories verify, nothing was left.\n',
);
