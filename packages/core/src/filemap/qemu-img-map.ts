import { abortError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { spawnQemu } from '../qemu/program.js';
import { LastWords, refusalError } from '../qemu/qemu-words.js';
import { Cover } from './cover.js';
import type { MapExtent } from './filemap.js';
import type { MapSource } from './map-source.js';
import { QemuMapDecoder } from './qemu-map-decoder.js';

/**
 * By `qemu-img map -f raw` on the open file itself, whatever its name is by now.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_ACCESS_DENIED; ProtocolError VB_FILE_MAP
 */
export async function* qemuImgMap(
  source: MapSource,
  range: Extent,
  { signal }: WithSignal,
): AsyncGenerator<readonly MapExtent[], void, undefined> {
  signal?.throwIfAborted();
  const bounds = [`--start-offset=${range.offset}`, `--max-length=${range.length}`];
  const args = ['map', '-f', 'raw', '-U', '--output=json', ...bounds, '/proc/self/fd/3'];
  const { child, ended } = await spawnQemu('qemu-img', args, { stdio: ['ignore', 'pipe', 'pipe', source.file.fd] });
  const stop = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', stop);
  try {
    const words = new LastWords();
    child.stderr?.on('data', (chunk: Buffer) => words.push(chunk));
    // QEMU names everything: what it leaves out is not known.
    const cover = new Cover(range, 'data');
    const decoder = new QemuMapDecoder();
    for await (const chunk of child.stdout ?? []) {
      for (const finding of decoder.push(String(chunk))) cover.add(finding);
      yield cover.take();
    }
    const end = await ended;
    if (signal?.aborted === true) throw abortError(signal);
    if (end !== 'exit code 0') {
      throw refusalError({ action: `cannot map ${source.path}`, program: 'qemu-img', words, end });
    }
    decoder.end();
    yield cover.end();
  } finally {
    signal?.removeEventListener('abort', stop);
    // Whoever takes only a part leaves the program in the middle of its words.
    stop();
    await ended;
  }
}
