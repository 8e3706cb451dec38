export { prepareMachine } from './prepare-machine.js';
