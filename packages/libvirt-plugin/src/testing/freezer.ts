import { setTimeout as delay } from 'node:timers/promises';
import { openLibvirt } from '../process/index.js';

// Freezes a guest, says so, and waits to be killed: node freezer.js <uri> <uuid>
const [, , uri = '', domain = ''] = process.argv;
const libvirt = await openLibvirt({ uri });
await libvirt.freeze(domain);
process.stdout.write('frozen');
await delay(600_000);
