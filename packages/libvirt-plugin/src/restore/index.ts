export { existingDisks } from './existing-disks.js';
export { prepareMachine } from './prepare-machine.js';
