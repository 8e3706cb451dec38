import { QemuNbd } from '../qemu/index.js';

// Serves an image until it is killed: node qemu-child.js <path> <folder>
const [, , path = '', folder] = process.argv;
const server = await QemuNbd.start({ path, format: 'qcow2', readOnly: true, connections: 1, folder });
process.stdout.write(`${server.pid}\n`);
setInterval(() => undefined, 1000);
