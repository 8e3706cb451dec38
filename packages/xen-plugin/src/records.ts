import { z } from 'zod';

// The fields of XenAPI's records that vbackup relies on. Others pass through unseen.

export const NULL_REF = 'OpaqueRef:NULL';

export const RefSchema = z.string();
export const RefsSchema = z.array(z.string());
/** A call without a result answers with an empty string. */
export const NothingSchema = z.unknown();

/** A 64-bit integer: a decimal string in XML-RPC, a number in JSON-RPC. */
export const IntSchema = z
  .union([z.string().regex(/^-?\d+$/), z.number()])
  .transform(Number)
  .refine(Number.isSafeInteger, 'beyond 2^53 - 1');

const StringMapSchema = z.record(z.string(), z.string());

export const VdiSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  SR: RefSchema,
  VBDs: RefsSchema,
  snapshots: RefsSchema,
  snapshot_of: RefSchema,
  is_a_snapshot: z.boolean(),
  type: z.string(),
  virtual_size: IntSchema,
  sharable: z.boolean(),
  managed: z.boolean(),
  missing: z.boolean().default(false),
  on_boot: z.string().default('persist'),
  cbt_enabled: z.boolean().default(false),
  other_config: StringMapSchema.default({}),
  sm_config: StringMapSchema.default({}),
  snapshot_time: z.string().default(''),
});
export type VdiRecord = z.infer<typeof VdiSchema>;

export const VmSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  VBDs: RefsSchema,
  VIFs: RefsSchema.default([]),
  is_a_template: z.boolean(),
  is_a_snapshot: z.boolean(),
  is_control_domain: z.boolean(),
  snapshot_of: RefSchema,
});
export type VmRecord = z.infer<typeof VmSchema>;

export const VbdSchema = z.object({
  uuid: z.string(),
  VM: RefSchema,
  VDI: RefSchema,
  type: z.string(),
  empty: z.boolean(),
  userdevice: z.string(),
});
export type VbdRecord = z.infer<typeof VbdSchema>;

export const SrSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  type: z.string(),
  allowed_operations: z.array(z.string()),
  current_operations: StringMapSchema.default({}),
  PBDs: RefsSchema,
  sm_config: StringMapSchema.default({}),
  other_config: StringMapSchema.default({}),
});
export type SrRecord = z.infer<typeof SrSchema>;

export const PbdSchema = z.object({ host: RefSchema, SR: RefSchema, currently_attached: z.boolean() });

export const PifSchema = z.object({
  host: RefSchema,
  network: RefSchema,
  currently_attached: z.boolean(),
  device: z.string().default(''),
  IP: z.string().default(''),
  IPv6: z.array(z.string()).default([]),
});

export const NetworkSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  PIFs: RefsSchema,
  purpose: z.array(z.string()).default([]),
});

export const HostSchema = z.object({ uuid: z.string(), name_label: z.string(), address: z.string() });

export const TaskSchema = z.object({
  status: z.string(),
  result: z.string().default(''),
  error_info: z.array(z.string()).default([]),
});

/** `exportname` holds the session's token: never in a message. */
export const NbdInfoSchema = z.object({
  exportname: z.string().min(1),
  address: z.string().min(1),
  port: IntSchema,
  cert: z.string(),
  subject: z.string(),
});
export type NbdInfo = z.infer<typeof NbdInfoSchema>;

/** All records of a class by reference. */
export const tableOf = <T>(schema: z.ZodType<T>): z.ZodType<Readonly<Record<string, T>>> =>
  z.record(z.string(), schema);
