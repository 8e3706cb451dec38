import { connect, dieWithParent } from '../native/index.js';
import { Service } from './serve.js';

// The process that has libvirt in it. LibvirtProcess forks it, and speaks to it over the pipe of Node; whatever happens to
// it (a call that never returns, a crash in C) happens to nobody else. It lives no longer than its parent.

dieWithParent();
process.on('disconnect', () => process.exit(0));
// Between fork and prctl the parent may have died unnoticed.
if (!process.connected) process.exit(0);

const service = new Service(connect, (reply) => process.send?.(reply));
process.on('message', (message) => service.receive(message));
