import * as v from 'valibot';
import { EventSchema, Text } from './facts-schema.js';

// What goes over the pipe between us and the process that has libvirt in it: JSON values, one at a time. We send a
// request and get its answer before the next one; in between come events, and at most one `lost`.

const Id = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** To the process. The arguments are parsed by the call that is named. */
export const RequestSchema = v.object({ id: Id, call: v.pipe(v.string(), v.maxLength(64)), arguments: v.unknown() });
export type Request = v.InferOutput<typeof RequestSchema>;

const NativeErrorSchema = v.object({
  code: v.pipe(v.number(), v.safeInteger()),
  domain: v.pipe(v.number(), v.safeInteger()),
  message: Text,
});

/** From the process. */
export const ReplySchema = v.variant('kind', [
  v.object({ kind: v.literal('result'), id: Id, value: v.unknown() }),
  /** libvirt refused. `alive` is false if the connection did not survive it. */
  v.object({ kind: v.literal('refused'), id: Id, error: NativeErrorSchema, alive: v.boolean() }),
  /** The process could not even ask libvirt. */
  v.object({ kind: v.literal('failed'), id: Id, reason: v.picklist(['library', 'internal']), message: Text }),
  v.object({ kind: v.literal('event'), event: EventSchema }),
  /** virConnectCloseReason, in words. */
  v.object({ kind: v.literal('lost'), reason: v.picklist(['error', 'end', 'keepalive', 'client', 'unknown']) }),
]);
export type Reply = v.InferOutput<typeof ReplySchema>;
