import { type Extent, endOf } from '../extent/index.js';

/** Readers that are told apart at once: the connections of nbdcopy and the processes of a guest. */
const STREAM_COUNT = 16;
/** Requests of one reader may overtake one another by so many bytes. */
const SLACK = 4 * 1024 * 1024;
/** A reader that came so far without a jump goes on, as far as anybody knows. */
const PROOF = 256 * 1024;
/** So much is loaded before it is asked for. */
const AHEAD = 4 * 1024 * 1024;

interface Stream {
  /** Where the furthest request ended. */
  end: number;
  /** How far it came without a jump. */
  run: number;
}

/** Tells readers that go through a disk from those that jump about, and what the former will ask for next. */
export class ReadAhead {
  /** The one that was used last comes last. */
  readonly #streams: Stream[] = [];

  /** What should be loaded now that this was asked for; undefined for a reader that jumps. May lie beyond the disk's end. */
  next(range: Extent): Extent | undefined {
    const stream = this.#find(range) ?? { end: range.offset, run: 0 };
    const end = Math.max(stream.end, endOf(range));
    // Who asks twice for the same bytes has not moved.
    stream.run += end - stream.end;
    stream.end = end;
    this.#streams.push(stream);
    if (this.#streams.length > STREAM_COUNT) this.#streams.shift();
    return stream.run > range.length && stream.run >= PROOF ? { offset: stream.end, length: AHEAD } : undefined;
  }

  /** Takes out the reader that this request belongs to. */
  #find({ offset }: Extent): Stream | undefined {
    const at = this.#streams.findLastIndex(({ end, run }) => {
      const slack = run >= PROOF ? SLACK : 0;
      return offset <= end + slack && offset >= end - slack;
    });
    return at < 0 ? undefined : this.#streams.splice(at, 1)[0];
  }
}
