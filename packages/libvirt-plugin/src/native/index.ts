export { type Connected, type ConnectOptions, connect } from './connect.js';
export type { CloseReason, EventSink } from './domain-events.js';
export { type Handler, perform } from './handler.js';
export { LibraryError } from './library.js';
export { dieAfter, dieWithParent } from './memory.js';
export { NativeCallError } from './session.js';
