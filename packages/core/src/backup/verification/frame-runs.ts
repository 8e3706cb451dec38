import { FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/frame-header.js';
import type { FrameRecord } from '../frame-index/frame-record.js';

/** Frames that lie next to each other in the file, and are read in one piece. */
export interface FrameRun {
  /** At least one. */
  readonly records: readonly FrameRecord[];
  /** In the file: the first frame's header. */
  readonly start: number;
  /** In the file: where the next frame's header is expected. */
  readonly end: number;
  /** Of the disk's bytes that are stored in it. */
  readonly dataLength: number;
}

/** What a run of several frames stays within. One frame alone may be longer. */
export interface RunLimits {
  readonly length: number;
  readonly dataLength: number;
}

/** A run is not of more: each is looked at in the main thread. */
const RECORD_LIMIT = 1024;

/** Joins frames to runs, in their order. */
export async function* frameRuns(records: AsyncIterable<FrameRecord>, limits: RunLimits): AsyncGenerator<FrameRun> {
  let run: FrameRecord[] = [];
  let [start, end, dataLength] = [0, 0, 0];
  for await (const record of records) {
    const recordStart = record.fileOffset - FRAME_HEADER_LENGTH;
    const recordEnd = endInFile(record);
    const data = record.kind === 'zero' ? 0 : record.length;
    const fits = recordEnd - start <= limits.length && dataLength + data <= limits.dataLength;
    if (run.length > 0 && (recordStart !== end || !fits || run.length === RECORD_LIMIT)) {
      yield { records: run, start, end, dataLength };
      run = [];
    }
    if (run.length === 0) [start, dataLength] = [recordStart, 0];
    run.push(record);
    end = recordEnd;
    dataLength += data;
  }
  if (run.length > 0) yield { records: run, start, end, dataLength };
}

/** Where the next frame's header begins. */
const endInFile = (record: FrameRecord): number =>
  record.kind === 'zero' ? record.fileOffset : record.fileOffset + record.storedLength + TERMINATOR.length;
