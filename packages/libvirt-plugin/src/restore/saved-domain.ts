import type { ConfigurationFile } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import { type DomainDescription, parseDomain } from '../domain/index.js';

/** What a backup holds of a domain, besides its disks. */
export interface SavedDomain {
  readonly xml: string;
  readonly description: DomainDescription;
  readonly autostart: boolean;
  /** The files that it starts from, as far as they were saved, by their path on the host. */
  readonly bootFiles: ReadonlyMap<string, Buffer>;
}

const RecordSchema = v.object({
  autostart: v.fallback(v.boolean(), false),
  /** The path on the host by the name in the backup. */
  boot: v.fallback(v.record(v.string(), v.string()), {}),
});

/** @throws VBackupError VB_LIBVIRT_NO_DEFINITION, VB_LIBVIRT_XML */
export function savedDomain(configuration: readonly ConfigurationFile[]): SavedDomain {
  const contentOf = (name: string): Buffer | undefined => configuration.find((file) => file.name === name)?.content;
  const xml = contentOf('domain.xml')?.toString('utf8');
  if (xml === undefined) {
    throw new VBackupError('VB_LIBVIRT_NO_DEFINITION', 'the backup holds no definition of a libvirt domain', {
      cure: 'restore its disks without --define, and define a domain with them yourself',
    });
  }
  const record = v.safeParse(RecordSchema, jsonOf(contentOf('libvirt.json')));
  const { autostart, boot } = record.success ? record.output : { autostart: false, boot: {} };
  const bootFiles = new Map<string, Buffer>();
  for (const [name, path] of Object.entries(boot)) {
    const content = contentOf(name);
    if (content !== undefined) bootFiles.set(path, content);
  }
  return { xml, description: parseDomain(xml), autostart, bootFiles };
}

/** Undefined where there is none: the definition is enough. */
function jsonOf(content: Buffer | undefined): unknown {
  try {
    return content === undefined ? undefined : JSON.parse(content.toString('utf8'));
  } catch {
    return undefined;
  }
}
