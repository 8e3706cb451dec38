import { join } from 'node:path';
import type { WithSignal } from '../../hypervisor/index.js';
import type { ImageReader } from '../image.js';
import type { Manifest } from '../manifest.js';
import type { Catalogue, Damage, OpenImageOptions, Place, PlaceKey, Repository, VerifyOptions } from '../repository.js';
import { pathComponent } from './names.js';
import { scanRepository } from './scan.js';

/**
 * A folder of chains of SparseStream files; its layout stands in docs/architecture.md. What only a backup, a restore or a
 * check needs is loaded by them: `list` reads manifests alone.
 */
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
    const { ChainPlace } = await import('./chain-place.js');
    return ChainPlace.open({ root: this.location, place, key });
  }

  async openImage(manifest: Manifest, disk: string, { signal, cache }: OpenImageOptions = {}): Promise<ImageReader> {
    const { ChainImageReader } = await import('../image/chain-image-reader.js');
    return ChainImageReader.open({ root: this.location, manifest, disk, signal, cache });
  }

  async verify(manifest: Manifest, options: VerifyOptions): Promise<readonly Damage[]> {
    const { verifyBackup } = await import('../verification/verify-backup.js');
    return verifyBackup({ root: this.location, manifest, ...options });
  }
}
