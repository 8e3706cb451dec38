/** The classes this host has. */
export const CLASSES = [
  'pool',
  'host',
  'network',
  'PIF',
  'SM',
  'SR',
  'PBD',
  'VDI',
  'VBD',
  'VIF',
  'VM',
  'task',
  'message',
] as const;

export type ClassName = (typeof CLASSES)[number];

/** How a field travels; `set` holds strings or references, `map` strings, `intmap` 64-bit integers. */
export type FieldKind = 'string' | 'int' | 'bool' | 'float' | 'datetime' | 'ref' | 'set' | 'map' | 'intmap';

export interface Field {
  readonly name: string;
  readonly kind: FieldKind;
  /** A client may set it. */
  readonly writable: boolean;
}

/** Fields as `name:kind`, string when no kind is given, `*` when clients may set them (xapi, datamodel.ml). */
const FIELDS: Readonly<Record<ClassName, string>> = {
  pool: `uuid name_label* name_description* master:ref default_SR:ref* suspend_image_SR:ref* crash_dump_SR:ref* tags:set*
    other_config:map* restrictions:map allowed_operations:set current_operations:map ha_enabled:bool`,
  host: `uuid name_label* name_description* address* hostname enabled:bool edition software_version:map
    API_version_major:int API_version_minor:int license_params:map PIFs:set PBDs:set resident_VMs:set other_config:map*
    tags:set* control_domain:ref metrics:ref allowed_operations:set current_operations:map`,
  network: `uuid name_label* name_description* purpose:set PIFs:set VIFs:set other_config:map* bridge MTU:int*
    managed:bool tags:set* assigned_ips:map allowed_operations:set current_operations:map`,
  PIF: `uuid device network:ref host:ref MAC MTU:int VLAN:int currently_attached:bool IP netmask gateway IPv6:set
    primary_address_type ip_configuration_mode management:bool physical:bool managed:bool other_config:map*`,
  SM: `uuid name_label name_description type vendor copyright version required_api_version configuration:map
    capabilities:set features:intmap other_config:map* driver_filename required_cluster_stack:set`,
  SR: `uuid name_label* name_description* type content_type shared:bool* VDIs:set PBDs:set virtual_allocation:int
    physical_size:int physical_utilisation:int sm_config:map* other_config:map* tags:set* allowed_operations:set
    current_operations:map`,
  PBD: 'uuid host:ref SR:ref device_config:map* currently_attached:bool other_config:map*',
  VDI: `uuid name_label* name_description* SR:ref virtual_size:int physical_utilisation:int type sharable:bool*
    read_only:bool* managed:bool missing:bool is_a_snapshot:bool snapshot_of:ref snapshots:set snapshot_time:datetime
    on_boot* cbt_enabled:bool VBDs:set crash_dumps:set other_config:map* sm_config:map* xenstore_data:map* tags:set*
    location parent:ref storage_lock:bool is_tools_iso:bool allowed_operations:set current_operations:map`,
  VBD: `uuid VM:ref VDI:ref device userdevice* bootable:bool* mode* type* unpluggable:bool* empty:bool
    currently_attached:bool other_config:map* status_code:int status_detail runtime_properties:map
    qos_algorithm_type* qos_algorithm_params:map* qos_supported_algorithms:set storage_lock:bool allowed_operations:set
    current_operations:map`,
  VIF: `uuid device network:ref VM:ref MAC MTU:int other_config:map* currently_attached:bool locking_mode
    qos_algorithm_type* qos_algorithm_params:map* allowed_operations:set current_operations:map`,
  VM: `uuid name_label* name_description* power_state is_a_snapshot:bool snapshot_of:ref snapshots:set
    snapshot_time:datetime snapshot_info:map snapshot_metadata parent:ref children:set is_a_template:bool*
    is_control_domain:bool is_default_template:bool resident_on:ref affinity:ref* VBDs:set VIFs:set
    memory_static_max:int* memory_static_min:int* memory_dynamic_max:int* memory_dynamic_min:int* VCPUs_max:int*
    VCPUs_at_startup:int* VCPUs_params:map* platform:map* other_config:map* xenstore_data:map* tags:set* blocked_operations:map*
    HVM_boot_policy* HVM_boot_params:map* HVM_shadow_multiplier:float* PV_bootloader* PV_kernel* PV_ramdisk* PV_args*
    PV_bootloader_args* actions_after_shutdown* actions_after_reboot* actions_after_crash* guest_metrics:ref metrics:ref
    allowed_operations:set current_operations:map`,
  task: `uuid name_label name_description created:datetime finished:datetime status resident_on:ref progress:float* type
    result error_info:set other_config:map* subtask_of:ref subtasks:set backtrace allowed_operations:set
    current_operations:map`,
  message: 'uuid name priority:int cls obj_uuid timestamp:datetime body',
};

/** References that the referred object lists back: class, field, and the field over there. */
export const BACK_REFERENCES: readonly {
  readonly from: ClassName;
  readonly field: string;
  readonly to: ClassName;
  readonly back: string;
}[] = [
  { from: 'VBD', field: 'VDI', to: 'VDI', back: 'VBDs' },
  { from: 'VBD', field: 'VM', to: 'VM', back: 'VBDs' },
  { from: 'VIF', field: 'VM', to: 'VM', back: 'VIFs' },
  { from: 'VIF', field: 'network', to: 'network', back: 'VIFs' },
  { from: 'VDI', field: 'SR', to: 'SR', back: 'VDIs' },
  { from: 'VDI', field: 'snapshot_of', to: 'VDI', back: 'snapshots' },
  { from: 'VM', field: 'snapshot_of', to: 'VM', back: 'snapshots' },
  { from: 'PBD', field: 'SR', to: 'SR', back: 'PBDs' },
  { from: 'PBD', field: 'host', to: 'host', back: 'PBDs' },
  { from: 'PIF', field: 'host', to: 'host', back: 'PIFs' },
  { from: 'PIF', field: 'network', to: 'network', back: 'PIFs' },
];

const PARSED = new Map(CLASSES.map((name) => [name, new Map(parse(FIELDS[name]).map((field) => [field.name, field]))]));

/** The fields of a class, by name. */
export function fieldsOf(className: ClassName): ReadonlyMap<string, Field> {
  return PARSED.get(className) ?? new Map();
}

function parse(list: string): Field[] {
  return list.split(/\s+/).map((word) => {
    const writable = word.endsWith('*');
    const [name = '', kind = 'string'] = word.replace('*', '').split(':');
    return { name, kind: kindOf(kind), writable };
  });
}

function kindOf(word: string): FieldKind {
  const kinds: readonly FieldKind[] = ['string', 'int', 'bool', 'float', 'datetime', 'ref', 'set', 'map', 'intmap'];
  const kind = kinds.find((candidate) => candidate === word);
  if (kind === undefined) throw new TypeError(`${word} is not a kind of field`);
  return kind;
}
