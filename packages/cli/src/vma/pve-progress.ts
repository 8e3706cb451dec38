/** As the archive counts. */
const CLUSTER_LENGTH = 65_536;
const BLOCK_LENGTH = 4096;
const BLOCKS = 16;
/** Below, and from 1000 on, `%.3g` of C writes an exponent. */
const SMALLEST_PLAIN = 1e-4;

/** The lines that `vma extract -v` of Proxmox prints, and that qmrestore passes on to the log of its task. */
export class PveProgress {
  readonly #now: () => number;
  readonly #started: number;
  /** Proxmox counts a part of a cluster at a device's end as none. */
  readonly #expected: number;
  #clusters = 0;
  #zeroBlocks = 0;
  /** Those in clusters that are stored in part. */
  #gapBlocks = 0;
  #percent = 0;

  /** @param now - milliseconds */
  constructor(devices: readonly { readonly size: number }[], now: () => number) {
    this.#now = now;
    this.#started = now();
    this.#expected = devices.reduce((sum, { size }) => sum + Math.floor(size / CLUSTER_LENGTH), 0);
  }

  /** A cluster is done. @returns a line, with each new percent */
  cluster(storedBlocks: number): string | undefined {
    this.#clusters += 1;
    this.#zeroBlocks += BLOCKS - storedBlocks;
    if (storedBlocks > 0) this.#gapBlocks += BLOCKS - storedBlocks;
    const percent = Math.min(100, Math.floor((this.#clusters * 100) / Math.max(1, this.#expected)));
    if (percent === this.#percent) return undefined;
    this.#percent = percent;
    const seconds = Math.floor((this.#now() - this.#started) / 1000);
    return `progress ${percent}% (read ${this.#clusters * CLUSTER_LENGTH} bytes, duration ${seconds} sec)`;
  }

  /** What there is to say at the end. */
  finish(): readonly string[] {
    if (this.#clusters === 0) return ['vma archive contains no image data'];
    const read = this.#clusters * CLUSTER_LENGTH;
    const zeros = this.#zeroBlocks * BLOCK_LENGTH;
    const lines = [`total bytes read ${read}, sparse bytes ${zeros} (${threeDigits((100 * zeros) / read)}%)`];
    if (zeros < read) {
      const saved = (100 * this.#gapBlocks * BLOCK_LENGTH) / (read - zeros);
      lines.push(`space reduction due to 4K zero blocks ${threeDigits(saved)}%`);
    }
    return lines;
  }
}

/** `%.3g` of C, of a number from 0 on. */
function threeDigits(value: number): string {
  const [digits = '', exponent] = value.toExponential(2).split('e');
  const power = Number(exponent);
  if (value === 0 || (value >= SMALLEST_PLAIN && power < 3)) return String(Number(value.toPrecision(3)));
  return `${Number(digits)}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}
