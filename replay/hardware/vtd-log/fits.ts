import { alignedBlock } from '../iotlb/aligned-block.ts';
import type { Invalidation } from '../iotlb/invalidation.ts';
import type { LoggedFlush } from './parse.ts';

/** Whether an invalidation of the log is the one that is expected: by kind, range and hint. */
export function fits(expected: Invalidation, logged: LoggedFlush): boolean {
  switch (logged.event) {
    case 'pasid':
      return expected.cache === 'pasid' && expected.pasid === logged.pasid;
    case 'piotlb':
      return isOfPasid(expected, logged.pasid) && expected.granularity !== 'pages';
    case 'piotlb-pages':
      return isOfPasid(expected, logged.pasid) && coversPages(expected, logged);
    case 'iotlb-domain':
      return expected.cache === 'iotlb' && expected.granularity === 'domain';
    case 'iotlb-pages':
      return expected.cache === 'iotlb' && expected.pasid === null && coversPages(expected, logged);
  }
}

function isOfPasid({ cache, granularity, pasid, tag }: Invalidation, logged: number): boolean {
  if (cache !== 'iotlb') return false;
  // Whether a domain of the kernel's own is one that is passed through, no trace tells.
  if (tag?.startsWith('own') === true && granularity === 'domain') return logged === 0;
  return pasid === logged;
}

function coversPages(
  expected: Invalidation,
  logged: { readonly page: number; readonly order: number; readonly leafOnly: boolean | null },
): boolean {
  if (expected.granularity !== 'pages') return false;
  const first = logged.page;
  const last = logged.page + 2 ** logged.order - 1;
  if (expected.leafOnly !== null && logged.leafOnly !== null && expected.leafOnly !== logged.leafOnly)
    return false;
  if (isRepeated(expected)) {
    // Somewhere among the large pages of the area.
    const block = alignedBlock(expected.changedFirst, expected.changedLast);
    return block.firstPage <= first && last <= block.firstPage + 2 ** block.order - 1 && logged.order > 0;
  }
  return first === expected.firstPage && last === expected.lastPage;
}

/** How often tables were in the way of large pages is as unknown as where they were. */
export function isRepeated({ certainty, cause }: Invalidation): boolean {
  return certainty === 'possible' && cause === 'map';
}
