import { z } from 'zod';
import { EventSchema, Text } from './facts-schema.js';

// What goes over the pipe between us and the process that has libvirt in it: JSON values, one at a time. We send a
// request and get its answer before the next one; in between come events, and at most one `lost`.

const Id = z.number().int().positive();

/** To the process. The arguments are parsed by the call that is named. */
export const RequestSchema = z.object({ id: Id, call: z.string().max(64), arguments: z.unknown() });
export type Request = z.infer<typeof RequestSchema>;

const NativeErrorSchema = z.object({ code: z.number().int(), domain: z.number().int(), message: Text });

/** From the process. */
export const ReplySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('result'), id: Id, value: z.unknown() }),
  /** libvirt refused. `alive` is false if the connection did not survive it. */
  z.object({ kind: z.literal('refused'), id: Id, error: NativeErrorSchema, alive: z.boolean() }),
  /** The process could not even ask libvirt. */
  z.object({ kind: z.literal('failed'), id: Id, reason: z.enum(['library', 'internal']), message: Text }),
  z.object({ kind: z.literal('event'), event: EventSchema }),
  /** virConnectCloseReason, in words. */
  z.object({ kind: z.literal('lost'), reason: z.enum(['error', 'end', 'keepalive', 'client', 'unknown']) }),
]);
export type Reply = z.infer<typeof ReplySchema>;
