import type { Guest, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { isGone } from './errors.js';
import { RefSchema, RefsSchema, VdiSchema, type VmRecord, VmSchema } from './records.js';
import type { XenSession } from './session.js';
import { callIfThere } from './task.js';

export type Selector =
  | { readonly kind: 'disk'; readonly uuid: string }
  | { readonly kind: 'machine'; readonly nameOrUuid: string };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MACHINE_PREFIX = 'vm:';

export const isUuid = (text: string): boolean => UUID.test(text);

/**
 * `<vdi-uuid>`, or `vm:<uuid or name>`. Strict, so that a misspelt command is not taken for a disk.
 * @throws VBackupError VB_XEN_SELECTOR
 */
export function parseSelector(text: string): Selector {
  if (text.startsWith(MACHINE_PREFIX) && text.length > MACHINE_PREFIX.length) {
    const name = text.slice(MACHINE_PREFIX.length);
    return { kind: 'machine', nameOrUuid: isUuid(name.toLowerCase()) ? name.toLowerCase() : name };
  }
  if (isUuid(text.toLowerCase())) return { kind: 'disk', uuid: text.toLowerCase() };
  throw new VBackupError('VB_XEN_SELECTOR', `"${text}" is neither the uuid of a disk nor vm:<uuid or name>`, {
    cure: 'list the disks with xe vdi-list managed=true type=User, the machines with xe vm-list',
  });
}

/**
 * The guest that a selector names.
 * @throws VBackupError VB_XEN_SELECTOR, VB_XEN_AMBIGUOUS, VB_GUEST_NOT_FOUND
 */
export async function findGuest(session: XenSession, text: string, options: WithSignal = {}): Promise<Guest> {
  const selector = parseSelector(text);
  return selector.kind === 'disk'
    ? findDisk(session, selector.uuid, options)
    : findMachine(session, selector.nameOrUuid, options);
}

async function findDisk(session: XenSession, uuid: string, options: WithSignal): Promise<Guest> {
  const reference = await callIfThere(session, RefSchema, 'VDI.get_by_uuid', [uuid], options);
  if (reference === null) throw new VBackupError('VB_GUEST_NOT_FOUND', `the pool has no disk ${uuid}`);
  const disk = await session.call(VdiSchema, 'VDI.get_record', [reference], options);
  if (disk.is_a_snapshot || disk.type === 'cbt_metadata') {
    throw new VBackupError('VB_XEN_SELECTOR', `${uuid} is a snapshot, not a disk that lives`, {
      cure: 'name the disk that it was taken of (xe vdi-param-get param-name=snapshot-of)',
    });
  }
  return { id: disk.uuid, name: disk.name_label === '' ? disk.uuid : disk.name_label, kind: 'disk' };
}

async function findMachine(session: XenSession, nameOrUuid: string, options: WithSignal): Promise<Guest> {
  const machines = isUuid(nameOrUuid)
    ? await machinesByUuid(session, nameOrUuid, options)
    : await machinesByName(session, nameOrUuid, options);
  const found = machines.filter((machine) => !machine.is_a_template && !machine.is_a_snapshot);
  const [machine, ...others] = found;
  if (machine === undefined) throw new VBackupError('VB_GUEST_NOT_FOUND', `the pool has no machine ${nameOrUuid}`);
  if (others.length > 0) {
    const uuids = found.map(({ uuid }) => uuid).join(', ');
    throw new VBackupError('VB_XEN_AMBIGUOUS', `${found.length} machines are called ${nameOrUuid}: ${uuids}`, {
      cure: 'name the machine by its uuid: vm:<uuid>',
    });
  }
  return { id: machine.uuid, name: machine.name_label, kind: 'machine' };
}

async function machinesByUuid(session: XenSession, uuid: string, options: WithSignal): Promise<readonly VmRecord[]> {
  try {
    const reference = await session.call(RefSchema, 'VM.get_by_uuid', [uuid], options);
    return [await session.call(VmSchema, 'VM.get_record', [reference], options)];
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

async function machinesByName(session: XenSession, name: string, options: WithSignal): Promise<readonly VmRecord[]> {
  const references = await session.call(RefsSchema, 'VM.get_by_name_label', [name], options);
  const machines: VmRecord[] = [];
  for (const reference of references) {
    const machine = await callIfThere(session, VmSchema, 'VM.get_record', [reference], options);
    if (machine !== null) machines.push(machine);
  }
  return machines;
}
