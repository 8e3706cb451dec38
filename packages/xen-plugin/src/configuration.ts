import type { ConfigurationFile, JsonValue, WithSignal } from '@vbackup/core';
import * as v from 'valibot';
import { RefsSchema } from './records.js';
import type { XenSession } from './session.js';

const JsonSchema: v.GenericSchema<unknown, JsonValue> = v.lazy(() =>
  v.union([v.string(), v.pipe(v.number(), v.finite()), v.boolean(), v.null(), v.array(JsonSchema), RecordSchema]),
);
const RecordSchema = v.record(v.string(), JsonSchema);
type JsonRecord = v.InferOutput<typeof RecordSchema>;

/** `vdi.json`: the disk's own record, as it was before the snapshot. */
export async function diskConfiguration(
  session: XenSession,
  disk: string,
  options: WithSignal = {},
): Promise<readonly ConfigurationFile[]> {
  const record = await session.call(RecordSchema, 'VDI.get_record', [disk], options);
  return [jsonFile('vdi.json', { format: 'vbackup-xen-disk', version: 1, disk: record })];
}

export interface MachineReferences {
  readonly machine: string;
  readonly snapshot: string;
  /** The live disks. */
  readonly disks: readonly string[];
}

/**
 * `vm.json`: the machine as it was frozen (the snapshot's record, VBDs and VIFs) and as it lives, and its disks: enough
 * to make it again with VM.create, VBD.create and VIF.create.
 */
export async function machineConfiguration(
  session: XenSession,
  references: MachineReferences,
  options: WithSignal = {},
): Promise<readonly ConfigurationFile[]> {
  const read = (kind: string, reference: string): Promise<JsonRecord> =>
    session.call(RecordSchema, `${kind}.get_record`, [reference], options);
  const readAll = async (kind: string, parent: string): Promise<readonly JsonRecord[]> => {
    const records: JsonRecord[] = [];
    const members = await session.call(RefsSchema, `VM.get_${kind}s`, [parent], options);
    for (const reference of members) records.push(await read(kind, reference));
    return records;
  };
  const disks: JsonRecord[] = [];
  for (const reference of references.disks) disks.push(await read('VDI', reference));
  return [
    jsonFile('vm.json', {
      format: 'vbackup-xen-machine',
      version: 1,
      snapshot: await read('VM', references.snapshot),
      machine: await read('VM', references.machine),
      vbds: await readAll('VBD', references.snapshot),
      vifs: await readAll('VIF', references.snapshot),
      disks,
    }),
  ];
}

function jsonFile(name: string, content: unknown): ConfigurationFile {
  return { name, content: Buffer.from(`${JSON.stringify(content, null, 2)}\n`) };
}
