import { resolve } from 'node:path';
import type { Sidecar, VmaReport } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../../exit-codes.js';
import type { VmaContentFacts } from '../../output/vma-events.js';
import { archiveFacts } from '../../vma/archive-facts.js';
import { type ArchiveSource, archiveSource, verifySource } from '../../vma/archive-source.js';
import { DeviceProgress } from '../../vma/device-progress.js';
import { structureFacts } from '../../vma/structure-facts.js';
import { warnOf } from '../../vma/warn-of.js';
import type { CommandContext, Outcome } from '../command.js';

/** Checks an archive as far as its format and its sidecar allow, and says what could not be checked. */
export async function vmaVerify(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const { damageError, sidecarChecks, verifyArchive } = await import('@vbackup/core/vma');
  const source = await archiveSource(context);
  const found = options.flag('headers') ? null : await findSidecar(context, source);
  const progress = new DeviceProgress(output);
  const report = await verifyArchive(verifySource(source), {
    mode: options.flag('read') ? 'all' : 'headers',
    hash: options.flag('hash'),
    checks: found === null ? undefined : (header) => sidecarChecks(found.sidecar, header),
    onContent: progress.at,
    signal,
  });
  progress.finish(
    report.devices.map(({ device, storedLength }) => ({ device, size: device.size, written: storedLength })),
  );
  warnOf(output, report.warnings);
  output.item({
    type: 'summary',
    scope: 'item',
    command: 'vma verify',
    archive: archiveFacts({ path: source.name, ...report }),
    ...structureFacts(report),
    sidecar: found?.name ?? null,
    contents: report.devices.map((device) => contentFacts(device, found, options.flag('headers'))),
    salvage: options.flag('salvage'),
  });
  const [damage] = report.damages;
  if (damage !== undefined) throw damageError(damage);
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

interface FoundSidecar {
  /** As it is shown. */
  readonly name: string;
  readonly sidecar: Sidecar;
}

/** The one that was named must be there; the one beside the archive may be. */
async function findSidecar(
  { invocation, world, signal }: CommandContext,
  source: ArchiveSource,
): Promise<FoundSidecar | null> {
  const { readSidecar, SIDECAR_SUFFIX } = await import('@vbackup/core/vma');
  const named = invocation.options.text('sidecar');
  if (named === undefined) {
    if (source.path === undefined) return null;
    const sidecar = await readSidecar(source.path + SIDECAR_SUFFIX, { signal });
    return sidecar === null ? null : { name: source.name + SIDECAR_SUFFIX, sidecar };
  }
  const sidecar = await readSidecar(resolve(world.cwd, named), { signal });
  if (sidecar !== null) return { name: named, sidecar };
  throw new VBackupError('VB_FILE_NOT_FOUND', `there is no ${named}`, { cure: 'check the name of the sidecar' });
}

function contentFacts(
  { device, sha256, unchecked }: VmaReport['devices'][number],
  found: FoundSidecar | null,
  headersOnly: boolean,
): VmaContentFacts {
  const named = found?.sidecar.devices.some(({ id }) => id === device.id) ?? false;
  const checked = named && unchecked === undefined;
  const missing = found === null ? 'no-sidecar' : 'not-in-sidecar';
  const reason = headersOnly ? 'headers-only' : (unchecked ?? (named ? null : missing));
  return { device: device.name, sha256: sha256 ?? null, checked, reason };
}
