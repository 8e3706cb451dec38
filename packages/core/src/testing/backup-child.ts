import { openRepository, runBackup } from '../backup/index.js';
import { DirectoryHypervisor } from './directory-hypervisor.js';

// A process of its own that backs a DirectoryHypervisor up, to be killed: `backup-child <folder> <repository>`.

const [folder = '', location = ''] = process.argv.slice(2);
const repository = await openRepository(location, { create: true });
const hypervisor = new DirectoryHypervisor(folder);
try {
  const { manifest } = await runBackup({ hypervisor, hypervisorName: 'fake', repository, selector: 'fake' });
  process.stdout.write(`${manifest.id}\n`);
} catch (error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  process.stderr.write(`${code} ${String(error)}\n`);
  process.exitCode = code === 'VB_REPOSITORY_LOCKED' ? 11 : 1;
}
