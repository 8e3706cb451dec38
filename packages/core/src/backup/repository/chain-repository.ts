import { join } from 'node:path';
import type { WithSignal } from '../../hypervisor/index.js';
import { ChainImageReader } from '../image/chain-image-reader.js';
import type { ImageReader } from '../image.js';
import type { Manifest } from '../manifest.js';
import type { Catalogue, Damage, Place, PlaceKey, Repository, VerifyOptions } from '../repository.js';
import { verifyBackup } from '../verification/verify-backup.js';
import { ChainPlace } from './chain-place.js';
import { pathComponent } from './names.js';
import { scanRepository } from './scan.js';

/** A folder of chains of SparseStream files; its layout stands in docs/architecture.md. */
export class ChainRepository implements Repository {
  readonly id: string;
  readonly location: string;

  constructor(shape: { readonly id: string; readonly location: string }) {
    this.id = shape.id;
    this.location = shape.location;
  }

  catalogue(options: WithSignal = {}): Promise<Catalogue> {
    return scanRepository(this.location, options);
  }

  async openPlace(key: PlaceKey, options: WithSignal = {}): Promise<Place> {
    options.signal?.throwIfAborted();
    const place = join(pathComponent(key.hypervisor), pathComponent(key.guestId));
    return ChainPlace.open({ root: this.location, place, key });
  }

  openImage(manifest: Manifest, disk: string, options: WithSignal = {}): Promise<ImageReader> {
    return ChainImageReader.open({ root: this.location, manifest, disk, signal: options.signal });
  }

  verify(manifest: Manifest, options: VerifyOptions): Promise<readonly Damage[]> {
    return verifyBackup({ root: this.location, manifest, ...options });
  }
}
