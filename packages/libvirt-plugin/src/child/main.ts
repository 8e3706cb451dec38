import { connect, dieAfter, dieWithParent } from '../native/index.js';
import type { Reply } from '../wire/index.js';
import { Service } from './serve.js';

// The process that has libvirt in it. LibvirtProcess forks it, and speaks to it over the pipe of Node; whatever happens to
// it (a call that never returns, a crash in C) happens to nobody else. It lives no longer than its parent, except for as long as
// it takes to undo what its parent left: a guest that is frozen or paused, a job that nobody looks after.

/** Longer than the parent waits for any call, and than the undoing may take. */
const LONGEST_CALL_SECONDS = 180;

dieWithParent();
const service = new Service(connect, reply, { onOwed: (owed) => dieWithParent(!owed) });
process.on('disconnect', () => {
  dieAfter(LONGEST_CALL_SECONDS);
  void service.abandon().finally(() => process.exit(0));
});
// Between fork and prctl the parent may have died unnoticed.
if (!process.connected) process.exit(0);
process.on('message', (message) => {
  // A call that hangs for ever would keep a process whose parent is dead: neither timer nor event reaches it.
  dieAfter(LONGEST_CALL_SECONDS);
  service.receive(message);
  dieAfter(process.connected ? 0 : LONGEST_CALL_SECONDS);
});

/** What the parent does not live to hear is lost. */
function reply(message: Reply): void {
  process.send?.(message, undefined, undefined, () => undefined);
}
