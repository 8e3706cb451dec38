export { type Call, calls } from './calls.js';
export { type Reply, ReplySchema, type Request, RequestSchema } from './messages.js';
