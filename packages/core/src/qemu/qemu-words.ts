import { type ErrorCode, VBackupError } from '../errors/index.js';

/** The last words of a program are kept, and no more than these bytes of them. */
const WORDS_LENGTH = 4096;
const SHOWN_LENGTH = 600;

interface Meaning {
  readonly words: RegExp;
  readonly code: ErrorCode;
  readonly cure?: string;
}

/** What QEMU's programs say (block/file-posix.c, block.c), where that has a cure of its own. */
const MEANINGS: readonly Meaning[] = [
  {
    words: /Failed to get (shared )?"[a-z ]+" lock|Is another process using the image/,
    code: 'VB_IMAGE_LOCKED',
    cure: 'shut down the machine that uses the image, or back it up with its hypervisor (--hypervisor libvirt)',
  },
  {
    words: /Image is not in \S+ format|not in (VMDK|VHDX|VDI|VPC|qcow2?) format|Unknown driver/i,
    code: 'VB_IMAGE_FORMAT',
    cure: 'name the format that the image has',
  },
  { words: /Permission denied|Operation not permitted/, code: 'VB_ACCESS_DENIED' },
];

/** Keeps the end of what a program says on standard error. */
export class LastWords {
  #bytes = Buffer.alloc(0);

  push(chunk: Buffer): void {
    const all = Buffer.concat([this.#bytes, chunk]);
    this.#bytes = all.subarray(Math.max(0, all.length - WORDS_LENGTH));
  }

  /** Its lines in one, without the program's name, fit for a message. */
  text(program: string): string {
    const lines = this.#bytes.toString('utf8').split('\n');
    const kept = lines.map((line) => line.trim().replace(`${program}: `, '')).filter((line) => line !== '');
    return kept
      .join('; ')
      .replaceAll(/\p{Cc}/gu, ' ')
      .slice(-SHOWN_LENGTH);
  }
}

export interface Refusal {
  /** What was not done, e.g. `cannot open /srv/a.qcow2`. */
  readonly action: string;
  readonly program: string;
  readonly words: LastWords;
  /** How it ended, where it said nothing, e.g. `exit code 1`. */
  readonly end: string;
}

/** The error that a program's last words mean: VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED or VB_QEMU_FAILED. */
export function refusalError({ action, program, words, end }: Refusal): VBackupError {
  const text = words.text(program);
  const message = `${action}: ${program} says: ${text === '' ? end : text}`;
  const { code, cure } = MEANINGS.find((meaning) => meaning.words.test(text)) ?? { code: 'VB_QEMU_FAILED' };
  return new VBackupError(code, message, cure === undefined ? {} : { cure });
}
