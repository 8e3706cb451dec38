import type { Database } from './model/database.js';
import type { XenObject } from './model/xen-object.js';
import { Double } from './rpc/value.js';

export interface InventoryOptions {
  readonly address: string;
  readonly hostname: string;
  readonly nbdPurpose: 'nbd' | 'insecure_nbd' | undefined;
}

export interface Inventory {
  readonly pool: XenObject;
  readonly master: XenObject;
  readonly network: XenObject;
  readonly controlDomain: XenObject;
}

/** What storage managers with changed block tracking say of themselves. */
const SM_FEATURES = {
  SR_UPDATE: 1,
  VDI_CREATE: 1,
  VDI_DELETE: 1,
  VDI_SNAPSHOT: 1,
  VDI_RESIZE: 1,
  VDI_CONFIG_CBT: 1,
  VDI_ACTIVATE: 1,
};
const SR_OPERATIONS = ['vdi_create', 'vdi_destroy', 'vdi_snapshot', 'vdi_clone', 'vdi_resize', 'scan', 'update'];
const CBT_OPERATIONS = ['vdi_enable_cbt', 'vdi_disable_cbt', 'vdi_data_destroy', 'vdi_list_changed_blocks'];

/** A pool of one host with dom0, a network with an address, and its storage manager. */
export function furnish(db: Database, { address, hostname, nbdPurpose }: InventoryOptions): Inventory {
  const network = db.create('network', {
    name_label: 'Pool-wide network associated with eth0',
    bridge: 'xenbr0',
    MTU: 1500,
    managed: true,
    purpose: nbdPurpose === undefined ? [] : [nbdPurpose],
  });
  const master = db.create('host', {
    name_label: hostname,
    hostname,
    address,
    enabled: true,
    edition: 'xcp-ng',
    API_version_major: 2,
    API_version_minor: 21,
    software_version: { product_brand: 'XCP-ng', product_version: '8.3.0', platform_version: '3.4.0', xapi: '25.6' },
    license_params: { restrict_cbt: 'false' },
  });
  db.create('PIF', {
    device: 'eth0',
    network: network.ref,
    host: master.ref,
    MAC: '02:00:00:00:00:01',
    MTU: 1500,
    VLAN: -1,
    currently_attached: true,
    IP: address,
    netmask: '255.0.0.0',
    ip_configuration_mode: 'Static',
    primary_address_type: 'IPv4',
    management: true,
    physical: true,
    managed: true,
  });
  const controlDomain = db.create('VM', {
    name_label: `Control domain on host: ${hostname}`,
    power_state: 'Running',
    is_control_domain: true,
    resident_on: master.ref,
    affinity: master.ref,
  });
  db.update(master, { control_domain: controlDomain.ref, resident_VMs: [controlDomain.ref] });
  const pool = db.create('pool', { name_label: 'lab', master: master.ref, restrictions: { restrict_cbt: 'false' } });
  db.create('SM', {
    name_label: 'Local EXT3 VHD',
    type: 'ext',
    vendor: 'Citrix Systems Inc',
    version: '1.0',
    required_api_version: '1.0',
    features: SM_FEATURES,
    capabilities: Object.keys(SM_FEATURES),
  });
  return { pool, master, network, controlDomain };
}

export interface SrOptions {
  readonly label: string;
  readonly type: string;
  /** Whether its storage manager tracks changed blocks. */
  readonly cbt: boolean;
  readonly capacity: number;
}

/** A storage repository, plugged into the host. */
export function addSr(db: Database, host: XenObject, options: SrOptions): XenObject {
  const sr = db.create('SR', {
    name_label: options.label,
    type: options.type,
    content_type: 'user',
    physical_size: options.capacity,
    allowed_operations: [...SR_OPERATIONS, ...(options.cbt ? CBT_OPERATIONS : [])],
  });
  db.create('PBD', { host: host.ref, SR: sr.ref, currently_attached: true });
  return sr;
}

export interface MachineOptions {
  readonly name: string;
  /** Disks by uuid, in the order of their devices. */
  readonly disks: readonly string[];
  /** Default true: a running machine, its disks attached. */
  readonly running?: boolean;
  /** The uuid of an image that is in its CD drive. */
  readonly cd?: string;
}

/** A machine with its disks. */
export function addMachine(db: Database, host: XenObject, options: MachineOptions): XenObject {
  const running = options.running ?? true;
  const vm = db.create('VM', {
    name_label: options.name,
    power_state: running ? 'Running' : 'Halted',
    ...(running ? { resident_on: host.ref } : {}),
    VCPUs_max: 1,
    VCPUs_at_startup: 1,
    memory_static_max: 2 ** 30,
    memory_dynamic_max: 2 ** 30,
    HVM_boot_policy: 'BIOS order',
    HVM_shadow_multiplier: new Double(1),
  });
  const drives = [...options.disks.map((uuid) => [uuid, 'Disk'] as const), [options.cd, 'CD'] as const];
  for (const [position, [uuid, type]] of drives.entries()) {
    if (uuid === undefined) continue;
    db.create('VBD', {
      VM: vm.ref,
      VDI: db.byUuid('VDI', uuid).ref,
      userdevice: String(position),
      device: running ? `xvd${String.fromCharCode('a'.charCodeAt(0) + position)}` : '',
      bootable: position === 0,
      mode: type === 'Disk' ? 'RW' : 'RO',
      type,
      unpluggable: true,
      currently_attached: running,
    });
  }
  return vm;
}
