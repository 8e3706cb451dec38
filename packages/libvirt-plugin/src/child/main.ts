import { connect, dieWithParent } from '../native/index.js';
import type { Reply } from '../wire/index.js';
import { Service } from './serve.js';

// The process that has libvirt in it. LibvirtProcess forks it, and speaks to it over the pipe of Node; whatever happens to
// it (a call that never returns, a crash in C) happens to nobody else. It lives no longer than its parent,
// except for as long as it takes to thaw a guest that its parent left frozen.

dieWithParent();
const service = new Service(connect, reply, { onFrozen: (frozen) => dieWithParent(!frozen) });
process.on('disconnect', () => void service.abandon().finally(() => process.exit(0)));
// Between fork and prctl the parent may have died unnoticed.
if (!process.connected) process.exit(0);
process.on('message', (message) => service.receive(message));

/** What the parent does not live to hear is lost. */
function reply(message: Reply): void {
  process.send?.(message, undefined, undefined, () => undefined);
}
