import * as v from 'valibot';

// The fields of XenAPI's records that vbackup relies on. Others pass through unseen.

export const NULL_REF = 'OpaqueRef:NULL';

export const RefSchema = v.string();
export const RefsSchema = v.array(v.string());
/** A call without a result answers with an empty string. */
export const NothingSchema = v.unknown();

/** A 64-bit integer: a decimal string in XML-RPC, a number in JSON-RPC. */
export const IntSchema = v.pipe(
  v.union([v.pipe(v.string(), v.regex(/^-?\d+$/)), v.number()]),
  v.transform(Number),
  v.safeInteger('beyond 2^53 - 1'),
);

const StringMapSchema = v.record(v.string(), v.string());

export const VdiSchema = v.object({
  uuid: v.string(),
  name_label: v.string(),
  SR: RefSchema,
  VBDs: RefsSchema,
  snapshots: RefsSchema,
  snapshot_of: RefSchema,
  is_a_snapshot: v.boolean(),
  type: v.string(),
  virtual_size: IntSchema,
  sharable: v.boolean(),
  managed: v.boolean(),
  missing: v.optional(v.boolean(), false),
  on_boot: v.optional(v.string(), 'persist'),
  cbt_enabled: v.optional(v.boolean(), false),
  other_config: v.optional(StringMapSchema, {}),
  sm_config: v.optional(StringMapSchema, {}),
  snapshot_time: v.optional(v.string(), ''),
});
export type VdiRecord = v.InferOutput<typeof VdiSchema>;

export const VmSchema = v.object({
  uuid: v.string(),
  name_label: v.string(),
  VBDs: RefsSchema,
  VIFs: v.optional(RefsSchema, []),
  is_a_template: v.boolean(),
  is_a_snapshot: v.boolean(),
  is_control_domain: v.boolean(),
  snapshot_of: RefSchema,
});
export type VmRecord = v.InferOutput<typeof VmSchema>;

export const VbdSchema = v.object({
  uuid: v.string(),
  VM: RefSchema,
  VDI: RefSchema,
  type: v.string(),
  empty: v.boolean(),
  userdevice: v.string(),
});
export type VbdRecord = v.InferOutput<typeof VbdSchema>;

export const SrSchema = v.object({
  uuid: v.string(),
  name_label: v.string(),
  type: v.string(),
  allowed_operations: v.array(v.string()),
  current_operations: v.optional(StringMapSchema, {}),
  PBDs: RefsSchema,
  sm_config: v.optional(StringMapSchema, {}),
  other_config: v.optional(StringMapSchema, {}),
});
export type SrRecord = v.InferOutput<typeof SrSchema>;

export const PbdSchema = v.object({ host: RefSchema, SR: RefSchema, currently_attached: v.boolean() });

export const PifSchema = v.object({
  host: RefSchema,
  network: RefSchema,
  currently_attached: v.boolean(),
  device: v.optional(v.string(), ''),
  IP: v.optional(v.string(), ''),
  IPv6: v.optional(v.array(v.string()), []),
});

export const NetworkSchema = v.object({
  uuid: v.string(),
  name_label: v.string(),
  PIFs: RefsSchema,
  purpose: v.optional(v.array(v.string()), []),
});

export const HostSchema = v.object({ uuid: v.string(), name_label: v.string(), address: v.string() });

export const TaskSchema = v.object({
  status: v.string(),
  result: v.optional(v.string(), ''),
  error_info: v.optional(v.array(v.string()), []),
});

/** `exportname` holds the session's token: never in a message. */
export const NbdInfoSchema = v.object({
  exportname: v.pipe(v.string(), v.minLength(1)),
  address: v.pipe(v.string(), v.minLength(1)),
  port: IntSchema,
  cert: v.string(),
  subject: v.string(),
});
export type NbdInfo = v.InferOutput<typeof NbdInfoSchema>;

/** All records of a class by reference. */
export const tableOf = <T>(
  schema: v.GenericSchema<unknown, T>,
): v.GenericSchema<unknown, Readonly<Record<string, T>>> => v.record(v.string(), schema);
