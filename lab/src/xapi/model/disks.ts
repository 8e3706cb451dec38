import { randomUUID } from 'node:crypto';
import { XapiFailure } from '../rpc/call.js';
import { DateTime, NULL_REF, type XenStruct } from '../rpc/value.js';
import { BLOCK_LENGTH, type BlockMap } from './block-map.js';
import { CbtChain } from './cbt-chain.js';
import type { Database } from './database.js';
import type { XenObject } from './xen-object.js';

/** The storage side of every VDI: its content, its log of changed blocks, its life cycle. No checks of xapi stand here. */
export class Disks {
  readonly cbt = new CbtChain();
  readonly #db: Database;
  readonly #contents = new Map<string, BlockMap>();

  constructor(db: Database) {
    this.#db = db;
  }

  create(fields: XenStruct, content: BlockMap): XenObject {
    const uuid = randomUUID();
    const vdi = this.#db.create('VDI', {
      type: 'user',
      managed: true,
      on_boot: 'persist',
      allowed_operations: ['clone', 'copy', 'resize', 'snapshot', 'destroy'],
      location: uuid,
      uuid,
      ...fields,
      virtual_size: content.size,
    });
    this.#contents.set(uuid, content);
    this.#account(vdi);
    return vdi;
  }

  /** @throws XapiFailure VDI_INCOMPATIBLE_TYPE when only the metadata of the disk is left */
  content(vdi: XenObject): BlockMap {
    const content = this.#contents.get(vdi.uuid);
    if (content === undefined) throw new XapiFailure('VDI_INCOMPATIBLE_TYPE', vdi.ref, vdi.text('type'));
    return content;
  }

  write(vdi: XenObject, offset: number, bytes: Uint8Array): void {
    this.content(vdi).write(offset, bytes);
    this.cbt.mark(vdi.uuid, offset, bytes.length);
  }

  zero(vdi: XenObject, offset: number, length: number): void {
    this.content(vdi).zero(offset, length);
    this.cbt.mark(vdi.uuid, offset, length);
  }

  /** Freezes the disk as it is now; its log goes with the snapshot. */
  snapshot(vdi: XenObject): XenObject {
    const { uuid: _uuid, VBDs: _vbds, snapshots: _snapshots, location: _location, ...copied } = vdi.record();
    const snapshot = this.create(
      { ...copied, is_a_snapshot: true, snapshot_of: vdi.ref, snapshot_time: new DateTime(new Date()) },
      this.content(vdi).snapshot(),
    );
    this.cbt.snapshot(vdi.uuid, snapshot.uuid);
    this.#account(vdi);
    return snapshot;
  }

  setTracking(vdi: XenObject, enabled: boolean): void {
    if (enabled) this.cbt.enable(vdi.uuid, vdi.number('virtual_size'));
    else this.cbt.drop(vdi.uuid);
    this.#db.update(vdi, { cbt_enabled: enabled });
  }

  grow(vdi: XenObject, size: number): void {
    this.content(vdi).grow(size);
    this.cbt.grow(vdi.uuid, size);
    this.#db.update(vdi, { virtual_size: size });
  }

  /** Keeps the log, drops the data. */
  dropData(vdi: XenObject): void {
    this.#contents.delete(vdi.uuid);
    this.#db.update(vdi, { type: 'cbt_metadata', physical_utilisation: 0, parent: NULL_REF });
  }

  destroy(vdi: XenObject): void {
    for (const ref of vdi.list('VBDs')) this.#db.remove(this.#db.get('VBD', ref));
    this.cbt.destroy(vdi.uuid);
    this.#contents.delete(vdi.uuid);
    this.#db.remove(vdi);
  }

  /** What a crash of the host leaves: logs of disks that were being written cannot be trusted and are gone. */
  crash(): void {
    for (const vdi of this.#db.all('VDI')) {
      if (!vdi.flag('cbt_enabled') || vdi.flag('is_a_snapshot')) continue;
      this.setTracking(vdi, false);
      this.alert(vdi, 'VDI_CBT_METADATA_INCONSISTENT');
    }
  }

  /** The message by which xapi says that it switched tracking off. */
  alert(vdi: XenObject, name: string): void {
    const timestamp = new DateTime(new Date());
    this.#db.create('message', { name, priority: 3, cls: 'VDI', obj_uuid: vdi.uuid, timestamp });
  }

  #account(vdi: XenObject): void {
    this.#db.update(vdi, { physical_utilisation: this.content(vdi).allocatedBlocks * BLOCK_LENGTH });
  }
}
