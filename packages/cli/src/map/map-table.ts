import type { MapExtent } from '@vbackup/core';

/** 2^53 has sixteen digits. */
const PHYSICAL_WIDTH = 16;

export interface MapTableOptions {
  /** Of the disk: the columns are as wide as its digits. */
  readonly size: number;
  /** Whether what only FIEMAP knows gets columns. */
  readonly physical: boolean;
}

/** Extents as the lines of a table, one by one, with a title. Everything is bytes. */
export async function* mapTable(extents: AsyncIterable<MapExtent>, options: MapTableOptions): AsyncGenerator<string> {
  const width = Math.max('LENGTH'.length, String(options.size).length);
  const line = (start: string, length: string, kind: string, physical: string, flags: string): string => {
    const more = options.physical ? `  ${physical.padStart(PHYSICAL_WIDTH)}  ${flags}` : '';
    return `${start.padStart(width)}  ${length.padStart(width)}  ${kind.padEnd(4)}${more}`.trimEnd().concat('\n');
  };
  yield line('START', 'LENGTH', 'KIND', 'PHYSICAL', 'FLAGS');
  for await (const { offset, length, kind, physical, flags } of extents) {
    const place = physical === undefined ? '' : String(physical);
    yield line(String(offset), String(length), kind, place, Object.keys(flags ?? {}).join(','));
  }
}
