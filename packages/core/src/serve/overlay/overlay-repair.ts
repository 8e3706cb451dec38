import { choosePage, decodeSlot, type OverlayLayout, STRUCTURE_LENGTH } from './overlay-format.js';
import type { OverlayStore } from './overlay-store.js';

/** Pages that are read at once. */
const PAGES_AT_ONCE = 256;

/**
 * Brings the map of an overlay in order that was not closed so: of every page at most one slot is torn, the one that was
 * being written; it is emptied. What is in the file now is made durable first: a killed process may have left it to the
 * system, and what is built on it must not outlive it.
 * @throws VBackupError VB_OVERLAY_DAMAGED when neither slot of a page can be read
 */
export async function repairMap(store: OverlayStore, layout: OverlayLayout, overlayId: Buffer): Promise<void> {
  await store.sync();
  for (let first = 0; first < layout.pageCount; first += PAGES_AT_ONCE) {
    const count = Math.min(PAGES_AT_ONCE, layout.pageCount - first);
    const bytes = Buffer.alloc(count * 2 * STRUCTURE_LENGTH);
    await store.read(bytes, layout.slotOffset(first, 0));
    for (let index = first; index < first + count; index += 1) {
      const slots = [0, 1].map((slot) => {
        const at = ((index - first) * 2 + slot) * STRUCTURE_LENGTH;
        return decodeSlot(bytes.subarray(at, at + STRUCTURE_LENGTH), { index, overlayId });
      });
      choosePage(slots, { torn: 1 });
      const torn = slots.indexOf('torn');
      if (torn >= 0) await store.write(Buffer.alloc(STRUCTURE_LENGTH), layout.slotOffset(index, torn));
    }
  }
  await store.sync();
}
