import type { Rule } from '../lint/rule.ts';
import { attachOrder } from './attach-order.ts';
import { bindTwiceTwoContexts } from './bind-twice-two-contexts.ts';
import { compatIoasSwap } from './compat-ioas-swap.ts';
import { destroyBusyLoop } from './destroy-busy-loop.ts';
import { detachOrder } from './detach-order.ts';
import { deviceKeptBound } from './device-kept-bound.ts';
import { dirtyTrackingWindow } from './dirty-tracking-window.ts';
import { doubleDestroy } from './double-destroy.ts';
import { faultResponseUnknown } from './fault-response-unknown.ts';
import { faultUnanswered } from './fault-unanswered.ts';
import { groupPartialAttach } from './group-partial-attach.ts';
import { hugePageLost } from './huge-page-lost.ts';
import { mapBeforeAttachBadVa } from './map-before-attach-bad-va.ts';
import { mapNeverUnmapped } from './map-never-unmapped.ts';
import { mapOverMapped } from './map-over-mapped.ts';
import { objectLeakAtClose } from './object-leak-at-close.ts';
import { orderHazard } from './order-hazard.ts';
import { pasidFreeWhileAttached } from './pasid-free-while-attached.ts';
import { pasidLeak } from './pasid-leak.ts';
import { pasidReuseBeforeFlush } from './pasid-reuse-before-flush.ts';
import { pasidTeardownOrder } from './pasid-teardown-order.ts';
import { pasidUseAfterDetach } from './pasid-use-after-detach.ts';
import { replaceNotAtomic } from './replace-not-atomic.ts';
import { reservedRangeHit } from './reserved-range-hit.ts';
import { reservedRangesLost } from './reserved-ranges-lost.ts';
import { rlimitNear } from './rlimit-near.ts';
import { unexplainedAnswer } from './unexplained-answer.ts';
import { unmapNothing } from './unmap-nothing.ts';
import { unmapPartialSurprise } from './unmap-partial-surprise.ts';
import { unmapSplitsArea } from './unmap-splits-area.ts';
import { useAfterDestroy } from './use-after-destroy.ts';
import { veventLost } from './vevent-lost.ts';

/** All rules, by id. */
export const RULES: readonly Rule[] = [
  attachOrder,
  bindTwiceTwoContexts,
  compatIoasSwap,
  destroyBusyLoop,
  detachOrder,
  deviceKeptBound,
  dirtyTrackingWindow,
  doubleDestroy,
  faultResponseUnknown,
  faultUnanswered,
  groupPartialAttach,
  hugePageLost,
  mapBeforeAttachBadVa,
  mapNeverUnmapped,
  mapOverMapped,
  objectLeakAtClose,
  orderHazard,
  pasidFreeWhileAttached,
  pasidLeak,
  pasidReuseBeforeFlush,
  pasidTeardownOrder,
  pasidUseAfterDetach,
  replaceNotAtomic,
  reservedRangeHit,
  reservedRangesLost,
  rlimitNear,
  unexplainedAnswer,
  unmapNothing,
  unmapPartialSurprise,
  unmapSplitsArea,
  useAfterDestroy,
  veventLost,
];
