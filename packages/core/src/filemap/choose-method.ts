import { UnsupportedError, VBackupError } from '../errors/index.js';
import { ioError, systemCode } from '../storage/io-error.js';
import type { FilemapOptions, MapMethod } from './filemap.js';
import { METHODS, ORDER } from './map-methods.js';
import type { MapSource } from './map-source.js';

/**
 * The method that was named, if it works here; for `auto` the first that does. Why one does not is a warning then.
 * @throws VBackupError VB_UNSUPPORTED, or what the method throws, if the method that was named does not work
 */
export async function chooseMethod(source: MapSource, options: FilemapOptions): Promise<MapMethod> {
  const wanted = options.method ?? 'auto';
  if (wanted !== 'auto') {
    await probeOne(source, wanted, options);
    return wanted;
  }
  if (source.isBlockDevice) return 'none';
  for (const method of ORDER) {
    if (await works(source, method, options)) return method;
  }
  return 'none';
}

async function probeOne(source: MapSource, method: MapMethod, options: FilemapOptions): Promise<void> {
  try {
    await METHODS[method].probe(source, options);
  } catch (error) {
    if (options.signal?.aborted === true || error instanceof VBackupError) throw error;
    const reason = systemCode(error) ?? String(error);
    throw new UnsupportedError('VB_UNSUPPORTED', `${source.path} cannot be mapped by ${method}: ${reason}`, {
      cause: error,
      cure: 'leave the method to auto',
    });
  }
}

async function works(source: MapSource, method: MapMethod, options: FilemapOptions): Promise<boolean> {
  try {
    await METHODS[method].probe(source, options);
    return true;
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    const reason = ioError(error, 'the system refused').message;
    const message = `${source.path} cannot be mapped by ${method}: ${reason}`;
    options.onWarning?.({ code: 'VB_FILE_MAP_METHOD', message });
    return false;
  }
}
