import type { Rule } from '../lint/rule.ts';
import { accessPinsLost } from './access-pins-lost.ts';
import { answerLost } from './answer-lost.ts';
import { attachOrder } from './attach-order.ts';
import { attachRefused } from './attach-refused.ts';
import { bindTwiceTwoContexts } from './bind-twice-two-contexts.ts';
import { busyWithoutHolder } from './busy-without-holder.ts';
import { callNeverReturned } from './call-never-returned.ts';
import { compatIoasSwap } from './compat-ioas-swap.ts';
import { destroyBusyLoop } from './destroy-busy-loop.ts';
import { detachOrder } from './detach-order.ts';
import { deviceKeptBound } from './device-kept-bound.ts';
import { deviceNeverAttached } from './device-never-attached.ts';
import { dirtyTrackingWindow } from './dirty-tracking-window.ts';
import { dmaToUnmapped } from './dma-to-unmapped.ts';
import { doubleDestroy } from './double-destroy.ts';
import { eventFdRace } from './event-fd-race.ts';
import { faultAnswerLost } from './fault-answer-lost.ts';
import { faultDeliveredTwice } from './fault-delivered-twice.ts';
import { faultRecordLeak } from './fault-record-leak.ts';
import { faultResponseUnknown } from './fault-response-unknown.ts';
import { faultUnanswered } from './fault-unanswered.ts';
import { groupPartialAttach } from './group-partial-attach.ts';
import { hugePageLost } from './huge-page-lost.ts';
import { idNotReturned } from './id-not-returned.ts';
import { invalidateTooNarrow } from './invalidate-too-narrow.ts';
import { invalidationLost } from './invalidation-lost.ts';
import { iotlbStaleEntry } from './iotlb-stale-entry.ts';
import { kernelAcceptsUnsafe } from './kernel-accepts-unsafe.ts';
import { kvmTranslationStale } from './kvm-translation-stale.ts';
import { mapBeforeAttachBadVa } from './map-before-attach-bad-va.ts';
import { mapNeverUnmapped } from './map-never-unmapped.ts';
import { mapOverMapped } from './map-over-mapped.ts';
import { mapRefused } from './map-refused.ts';
import { nestedInvalidateMissing } from './nested-invalidate-missing.ts';
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
import { selftestCheckFailed } from './selftest-check-failed.ts';
import { staleFaultDelivered } from './stale-fault-delivered.ts';
import { unexplainedAnswer } from './unexplained-answer.ts';
import { unknownObject } from './unknown-object.ts';
import { unmapNothing } from './unmap-nothing.ts';
import { unmapPartialSurprise } from './unmap-partial-surprise.ts';
import { unmapSizeWrong } from './unmap-size-wrong.ts';
import { unmapSplitsArea } from './unmap-splits-area.ts';
import { useAfterDestroy } from './use-after-destroy.ts';
import { veventLost } from './vevent-lost.ts';
import { veventOfUnknownDevice } from './vevent-of-unknown-device.ts';

/** All rules, by id. */
export const RULES: readonly Rule[] = [
  accessPinsLost,
  answerLost,
  attachOrder,
  attachRefused,
  bindTwiceTwoContexts,
  busyWithoutHolder,
  callNeverReturned,
  compatIoasSwap,
  destroyBusyLoop,
  detachOrder,
  deviceKeptBound,
  deviceNeverAttached,
  dirtyTrackingWindow,
  dmaToUnmapped,
  doubleDestroy,
  eventFdRace,
  faultAnswerLost,
  faultDeliveredTwice,
  faultRecordLeak,
  faultResponseUnknown,
  faultUnanswered,
  groupPartialAttach,
  hugePageLost,
  idNotReturned,
  invalidateTooNarrow,
  invalidationLost,
  iotlbStaleEntry,
  kernelAcceptsUnsafe,
  kvmTranslationStale,
  mapBeforeAttachBadVa,
  mapNeverUnmapped,
  mapOverMapped,
  mapRefused,
  nestedInvalidateMissing,
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
  selftestCheckFailed,
  staleFaultDelivered,
  unexplainedAnswer,
  unknownObject,
  unmapNothing,
  unmapPartialSurprise,
  unmapSizeWrong,
  unmapSplitsArea,
  useAfterDestroy,
  veventLost,
  veventOfUnknownDevice,
];
