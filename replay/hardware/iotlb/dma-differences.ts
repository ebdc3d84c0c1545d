import type { DmaAccess } from '../../../src/trace/index.ts';
import { UNKNOWN_FRAME } from '../table-format.ts';
import type { AccessAnswer } from './access.ts';

/** What a record `dma` says became of an access, against what the caches and tables give. */

/** Something that was seen of an access and can not have been, if the trace tells everything. */
export interface DmaDifference {
  readonly seq: number;
  readonly device: string;
  readonly pasid: number;
  readonly iova: bigint;
  readonly field: 'result' | 'physical';
  readonly recorded: string;
  /** What it should have been: a result, or the physical addresses that are possible. */
  readonly ours: string;
}

/**
 * `answers`: one for each page of the record, in order.
 * @param unbounded the caches stand for every size: a miss of what is held is no contradiction.
 */
export function dmaDifferences(
  call: DmaAccess,
  answers: readonly AccessAnswer[],
  unbounded: boolean,
): DmaDifference[] {
  const [first] = answers;
  if (first === undefined) return [];
  const { seq, device, pasid, iova, physical } = call;
  const base = { seq, device, pasid, iova };
  const ours = expectedResult(call, answers, unbounded);
  if (ours !== null) return [{ ...base, field: 'result', recorded: call.result ?? '', ours }];
  if (physical === null) return [];
  const places = placesOf(call, first);
  if (places.length === 0 || places.includes(physical)) return [];
  const texts = places.map((place) => `0x${place.toString(16)}`);
  return [{ ...base, field: 'physical', recorded: `0x${physical.toString(16)}`, ours: texts.join(' or ') }];
}

/** Null where what was recorded may be. */
function expectedResult(
  { result }: DmaAccess,
  answers: readonly AccessAnswer[],
  unbounded: boolean,
): string | null {
  const first = answers[0]!;
  switch (result) {
    case null:
      return null;
    case 'fault':
      // Hardware may have forgotten what is held; then the walk decides.
      return answers.every(({ walk }) => walk.outcome === 'page') ? first.outcome : null;
    case 'hit':
      return first.held.length > 0 || first.outcome === 'unknown' ? null : first.outcome;
    case 'miss':
      if (first.walk.outcome === 'fault') return first.outcome;
      return !unbounded && first.held.length > 0 ? 'hit' : null;
  }
}

/** Physical addresses that the first byte may have gone to; none where one of them is not known. */
function placesOf({ iova, result }: DmaAccess, { page, held, walk }: AccessAnswer): bigint[] {
  const sources = [
    ...(result === 'miss' ? [] : held.map(({ firstPage, to }) => ({ firstPage, to }))),
    ...(result === 'hit' || walk.outcome === 'fault' ? [] : [{ firstPage: page, to: walk.here }]),
  ];
  const places: bigint[] = [];
  for (const { firstPage, to } of sources) {
    if (to === null || to.frame === UNKNOWN_FRAME) return [];
    places.push((BigInt(to.frame + page - firstPage) << 12n) | (iova & 0xfffn));
  }
  return [...new Set(places)];
}
