import { alignOutward, clip, totalLength } from '../../extent/index.js';
import { copyUnitOf } from './geometry.js';
import { type PlanOptions, planCopy } from './plan-copy.js';

/** What a copy plans, without reading a byte: bytes that it will give to its writer as data, as long as none are found to be zeros. */
export async function plannedData(options: Omit<PlanOptions, 'unit'>): Promise<number> {
  const unit = copyUnitOf(options.reader.limits.alignment);
  let length = 0;
  for await (const ranges of planCopy({ ...options, unit })) {
    for (const range of ranges) if (range.kind === 'data') length += range.length;
  }
  return length;
}

/** The same, of a copy to an increment, where zeros are data: all that it goes through. */
export function plannedLength({ reader, size, extents }: Pick<PlanOptions, 'reader' | 'size' | 'extents'>): number {
  const unit = copyUnitOf(reader.limits.alignment);
  return totalLength(clip(alignOutward(extents, unit), { offset: 0, length: size }));
}
