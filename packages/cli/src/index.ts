export { EXIT, exitCodeOf } from './exit-codes.js';
export { main } from './main.js';
export type { OutputEvent } from './output/events.js';
export { runProcess } from './run-process.js';
export type { Work } from './work.js';
export type { TextStream, World } from './world.js';
