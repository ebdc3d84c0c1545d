import { IOMMU_IOAS_CHANGE_PROCESS, offsetsOf } from '../uapi/index.ts';
import {
  addLocked,
  assignPayer,
  callerAs,
  canGiveBack,
  NOBODY,
  payerAt,
  refuseLocked,
} from './accounting.ts';
import type { Payer } from './accounting-state.ts';
import { someArea } from './area-table.ts';
import { RESERVED_SET } from './check.ts';
import type { IovaSpace } from './iova-space.ts';
import { type Kernel, spaceOf } from './kernel.ts';
import { FROM_FILE } from './pages-table.ts';
import { type Refusal, reason } from './reason.ts';
import type { Context } from './state.ts';
import { u32 } from './user-call.ts';

/** IOMMU_IOAS_CHANGE_PROCESS: the caller takes over all mappings of the context. ioas.c of iommufd. */

const CHANGE = offsetsOf(IOMMU_IOAS_CHANGE_PROCESS);
/** In the order in which the caller is charged. */
const MODES = ['user', 'mm'] as const;

const NOT_A_FILE = reason(
  'change-process-needs-files',
  'EINVAL',
  'ioas.c iommufd_ioas_change_process',
  'an area maps memory of a process or a dma-buf: only memory files can change hands',
);

const OWNER_GONE = reason(
  'change-process-owner-gone',
  'EINVAL',
  'ioas.c iommufd_ioas_change_process; pages.c update_mm_locked_vm',
  'the process that was charged is gone and can not be given its pages back; the caller has taken over all the same',
);

export function ioasChangeProcess(kernel: Kernel, context: Context): Refusal {
  if (u32(kernel.call, CHANGE.__reserved) !== 0) return RESERVED_SET;
  const spaces = ioasSpaces(kernel, context);
  for (const { areas } of spaces) {
    if (someArea(areas, (slot) => kernel.pages.source[areas.pages[slot]!] !== FROM_FILE)) return NOT_A_FILE;
  }
  // Without a payer the pages change hands too, but nothing asks a file's pages for their process.
  return kernel.pages.payerCount === 0 ? null : changePayers(kernel, chargedPages(kernel, spaces));
}

function ioasSpaces(kernel: Kernel, context: Context): IovaSpace[] {
  return Object.values(context.objects).flatMap((object) =>
    object.type === 'ioas' ? [spaceOf(kernel, object)] : [],
  );
}

/** Every iopt_pages that somebody is charged for, once, in the order of IOAS and IOVA. */
function chargedPages(kernel: Kernel, spaces: readonly IovaSpace[]): number[] {
  const found = new Set<number>();
  for (const { areas } of spaces) {
    someArea(areas, (slot) => {
      const pages = areas.pages[slot]!;
      if (kernel.pages.payer[pages] !== NOBODY) found.add(pages);
      return false;
    });
  }
  return [...found];
}

/** Charges the caller for everything, the user's count first; then the old payers are given it back. */
function changePayers(kernel: Kernel, all: readonly number[]): Refusal {
  const { payer: payers, pinned, charged } = kernel.pages;
  const payerOfPages = (pages: number): Payer => payerAt(kernel.state, payers[pages]!);
  const callers = { user: NOBODY, mm: NOBODY };
  for (const pages of all) callers[payerOfPages(pages).mode] ||= callerAs(kernel, payerOfPages(pages).mode);
  const moving = all.filter((pages) => payers[pages] !== callers[payerOfPages(pages).mode]);
  const sums = { user: 0, mm: 0 };
  for (const pages of moving) sums[payerOfPages(pages).mode] += charged[pages]!;
  for (const mode of MODES) {
    const refusal =
      sums[mode] === 0 ? null : refuseLocked(kernel, payerAt(kernel.state, callers[mode]), sums[mode]);
    if (refusal !== null) return refusal;
  }
  for (const mode of MODES) {
    if (sums[mode] > 0) addLocked(kernel, payerAt(kernel.state, callers[mode]), sums[mode]);
  }
  let refusal: Refusal = null;
  for (const pages of moving) {
    const old = payerOfPages(pages);
    if (canGiveBack(kernel, old)) {
      addLocked(kernel, old, -pinned[pages]!);
      charged[pages] = pinned[pages]!;
    } else {
      // What the caller was charged for these pages is never given back.
      charged[pages] = 0;
      refusal = OWNER_GONE;
    }
    assignPayer(kernel, pages, callers[old.mode]);
  }
  return refusal;
}
