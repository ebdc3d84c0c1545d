import { type IoasId, isRefused } from '../ioasid/index.ts';
import type { Reason } from '../reason.ts';
import { hexText, ioasArg, numberArg, type ProposalAnswer, type ProposalCall, wideArg } from './call.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import { ALLOC_ATTRIBUTES } from './reasons-memory.ts';
import { createIoas, findIoas } from './spaces.ts';
import type { Ioas } from './state.ts';
import { checkTable } from './tables.ts';

/**
 * The allocation that the review of September 2021 asked for instead: hints for the range, a parent, a
 * format. Its struct (`RFC_IOASID_ALLOC_REVIEWED`) was to have the number of the posted one, so that captures
 * have it as a call by name. Source: Gunthorpe's mail of 2021-09-22 under 11/20.
 */

const FLAG = { ENFORCE_SNOOP: 1, HINT_BASE_IOVA: 2 } as const;
/** `IOMMU_FORMAT_KERNEL`: the kernel makes the table, of map calls. */
const FORMAT_KERNEL = 0;

/** IOMMU_IOASID_ALLOC as reviewed: the number comes in the struct, not as the return value. */
export function allocReviewed(call: ProposalCall): ProposalAnswer {
  const [flags, format] = [numberArg(call, 'flags') ?? 0, numberArg(call, 'format') ?? FORMAT_KERNEL];
  const [last, base] = [wideArg(call, 'max_iova_hint') ?? 0n, wideArg(call, 'base_iova_hint') ?? 0n];
  if ((flags & ~(FLAG.ENFORCE_SNOOP | FLAG.HINT_BASE_IOVA)) !== 0) return ARGUMENT_BAD;
  const hasBase = (flags & FLAG.HINT_BASE_IOVA) !== 0;
  if ((hasBase && last !== 0n && base > last) || (numberArg(call, 'format_flags') ?? 0) !== 0)
    return ARGUMENT_BAD;
  const found = parentOf(call);
  if (isRefused(found)) return found;
  const table = tableOf(call, format, found);
  if (isRefused(table)) return table;
  const ioas = createIoas(
    call,
    call.file!,
    {
      parent: found?.id ?? null,
      kind: table === null ? 'kernel' : 'user-table',
      table,
      enforcesSnoop: (flags & FLAG.ENFORCE_SNOOP) !== 0,
      addressWidth: last === 0n ? 0 : last.toString(2).length,
    },
    FIRST_ID,
  );
  return { ret: 0, out: { ioas_id: ioas.id } };
}

/** A parent of 0 is none, so that no address space has that number. */
const FIRST_ID = 1;

function parentOf(call: ProposalCall): Ioas | Reason | null {
  const id: IoasId | null = ioasArg(call, 'parent_ios_id');
  return id === null || Number(id) === 0 ? null : findIoas(call.file!, id);
}

/** A format other than the kernel's is a table of the user's, which needs a parent. */
function tableOf(call: ProposalCall, format: number, parent: Ioas | null): Ioas['table'] | Reason {
  if (format === FORMAT_KERNEL) return null;
  const address = wideArg(call, 'user_page_directory');
  if (parent === null || address === null) return ALLOC_ATTRIBUTES;
  return checkTable(call, parent, 'user-table') ?? { address: hexText(address), format: String(format) };
}
