export { makeDirectory, writeDurably } from './durable.js';
export { ioError, systemCode, withIo } from './io-error.js';
export { RestoreNote } from './restore-note.js';
