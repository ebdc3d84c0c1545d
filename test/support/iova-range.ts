import { offsetOf, pageOf } from '../../src/model/address.ts';
import type { IovaRange } from '../../src/model/iova-space.ts';

/** The inclusive range of two addresses. */
export function rangeOf(start: bigint, last: bigint): IovaRange {
  return {
    startPage: pageOf(start),
    startOffset: offsetOf(start),
    lastPage: pageOf(last),
    lastOffset: offsetOf(last),
  };
}
