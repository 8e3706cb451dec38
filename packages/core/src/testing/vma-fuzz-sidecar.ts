import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import type { VmaHeader } from '../vma/archive.js';
import { PIECE_LENGTH, PieceDigests } from '../vma/piece-digests.js';
import { compareSidecars, type DeviceDigests, encodeSidecar, type Sidecar } from '../vma/sidecar.js';
import { sidecarChecks } from '../vma/sidecar-check.js';
import { SidecarDecoder } from '../vma/sidecar-decode.js';
import { mutateBytes } from './bytes-mutation.js';
import { type FuzzOptions, type FuzzReport, runFuzz } from './fuzz-run.js';
import { type RandomBelow, randomBelow } from './vma-mutation.js';

/** Data, zeros, data and a bit: what the archive holds, by device. */
const CONTENTS = [
  Buffer.alloc(2 * PIECE_LENGTH + 4096)
    .fill('first', 0, 70_000)
    .fill('last', 2 * PIECE_LENGTH),
  Buffer.alloc(PIECE_LENGTH + 500),
];
const HEADER: VmaHeader = {
  uuid: Buffer.alloc(16, 5),
  ctime: 0,
  length: 12_800,
  configs: [],
  devices: CONTENTS.map(({ length }, at) => ({
    id: at + 1,
    name: `disk "${at}"`,
    size: Math.ceil(length / 512) * 512,
  })),
};
const NUMBERS = [
  '0',
  '1',
  '2',
  '3',
  '254',
  '512',
  '1048576',
  '1048577',
  '2097152',
  '281474976710656',
  '9007199254740991',
];

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

function trueSidecar(): Sidecar {
  const devices = HEADER.devices.map((device, at): DeviceDigests => {
    const content = CONTENTS[at] ?? Buffer.alloc(0);
    const pieces = new PieceDigests();
    for (let index = 0; index * PIECE_LENGTH < content.length; index += 1) {
      const piece = content.subarray(index * PIECE_LENGTH, (index + 1) * PIECE_LENGTH);
      if (piece.some((byte) => byte !== 0)) pieces.set(index, Buffer.from(sha256(piece), 'hex'));
    }
    return { ...device, length: content.length, pieces };
  });
  return { uuid: HEADER.uuid, devices };
}

const RIGHT = trueSidecar();
const TEXT = [...encodeSidecar(RIGHT)].join('');

/**
 * Reads mutated sidecars. Each must end in an error of sidecars, or be read the same when it is written again; and a check of
 * the archive with it must find what a comparison with the true one finds.
 * @throws Error with the seed of the case that did not
 */
export const fuzzSidecars = (options: FuzzOptions): Promise<FuzzReport> => runFuzz(options, fuzzOne);

function fuzzOne(seed: number): string {
  const random = randomBelow(seed);
  const changed = random(2) === 0 ? mutateBytes(Buffer.from(TEXT), random) : mutateLines(TEXT, random);
  const bytes = random(4) === 0 ? changed : sealed(changed);
  try {
    const sidecar = decoded(bytes, 1 + random(bytes.length));
    const again = Buffer.from([...encodeSidecar(sidecar)].join(''));
    assert.deepEqual([...encodeSidecar(decoded(again, again.length))].join(''), again.toString());
    return check(sidecar);
  } catch (error) {
    if (error instanceof VBackupError && error.code === 'VB_VMA_SIDECAR') return error.code;
    throw error;
  }
}

function decoded(bytes: Buffer, piece: number): Sidecar {
  const decoder = new SidecarDecoder();
  for (let at = 0; at < bytes.length; at += piece) decoder.push(bytes.subarray(at, at + piece));
  return decoder.end();
}

/** The code of what the archive's content is to this sidecar. */
function check(sidecar: Sidecar): string {
  const checks = sidecarChecks(sidecar, HEADER);
  const damaged = checks.filter((each) => {
    const content = CONTENTS[each.device.id - 1] ?? Buffer.alloc(0);
    for (let at = 0; at < content.length; at += 65_536) each.update(content.subarray(at, at + 65_536));
    return each.finish().count > 0;
  });
  const same = sidecar.devices.every(({ length }, at) => length === CONTENTS[at]?.length);
  const differing = same ? new Set([...compareSidecars(sidecar, RIGHT)].map(({ device }) => device.id)) : undefined;
  if (differing !== undefined)
    assert.deepEqual(
      damaged.map(({ device }) => device.id),
      [...differing],
    );
  return damaged.length === 0 ? 'none' : 'VB_VMA_DIGEST';
}

/** Changes what lines say rather than their bytes: what stands behind the digests is put to the test. */
function mutateLines(text: string, random: RandomBelow): Buffer {
  const lines = text.split('\n');
  for (let left = 1 + random(3); left > 0; left -= 1) {
    const at = random(lines.length);
    const line = lines[at] ?? '';
    switch (random(5)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines.splice(random(lines.length), 0, line);
        break;
      case 2:
        lines[at] = line.replace(/[0-9a-f]{64}/, sha256(String(random(1000))));
        break;
      default: {
        const words = line.split(' ');
        words[random(words.length)] = NUMBERS[random(NUMBERS.length)] ?? '0';
        lines[at] = words.join(' ');
      }
    }
  }
  return Buffer.from(lines.join('\n'));
}

/** Makes the digests of the lines right again. */
function sealed(bytes: Buffer): Buffer {
  let own = createHash('sha256');
  const all = createHash('sha256');
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => {
      if (line.startsWith('end ')) return `end ${all.copy().digest('hex')}`;
      const right = /^digest \d+ /.exec(line)?.[0];
      const written = right === undefined ? line : `${right}${own.digest('hex')}`;
      if (right !== undefined) own = createHash('sha256');
      if (/^(?:data|zero) /.test(line)) own.update(`${line}\n`, 'latin1');
      all.update(`${written}\n`, 'latin1');
      return written;
    });
  return Buffer.from(lines.join('\n'), 'latin1');
}
