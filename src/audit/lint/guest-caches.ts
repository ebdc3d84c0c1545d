import type { Entry, Invalidation, IotlbStep } from '../../../replay/index.ts';
import {
  CMD,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP,
  MOCK_CACHE_ENTRY_COUNT,
  offsetsOf,
  unionOffsetsOf,
} from '../../uapi/index.ts';
import type { ChainLink } from './finding.ts';
import { objectOf } from './holders.ts';
import { cacheName, cacheOwner, entrySpan, isOutOfReach, stepLinks } from './iotlb-text.ts';
import { argU32, contextOf, type LintCall } from './lint-call.ts';
import { bornLink } from './object-lives.ts';
import { hereLink } from './refusal.ts';
import type { LintWorld, Report, RuleListener } from './rule.ts';
import { label, text } from './text.ts';

/**
 * Caches of what a guest has in its own tables, which user space must invalidate: the two rules about it
 * share this. `isNarrow`: tell of invalidations that did not reach all; else of those that never came.
 */
export function tellMissing(world: LintWorld, report: Report, isNarrow: boolean): RuleListener {
  return world.iotlb === null ? watchMock(world, report, isNarrow) : watchCaches(world, report, isNarrow);
}

/** A stale entry, and the last invalidation of user space since it is stale that could have been meant. */
interface Waiting {
  readonly entry: Entry;
  missed: Invalidation | null;
}

function watchCaches(world: LintWorld, report: Report, isNarrow: boolean): RuleListener {
  const waiting = new Map<Entry, Waiting>();
  const tell = ({ entry, missed }: Waiting, seq: number | null): void => {
    waiting.delete(entry);
    if (entry.stale === null || (missed !== null) !== isNarrow) return;
    tellEntry(world, report, entry, missed, seq);
  };
  const step = ({ seq, invalidations, accesses, becameStale, forgotten }: IotlbStep): void => {
    for (const entry of forgotten) waiting.delete(entry);
    for (const invalidation of invalidations) {
      if (invalidation.who !== 'user') continue;
      for (const each of waiting.values()) if (isMeant(invalidation, each.entry)) each.missed = invalidation;
    }
    for (const { held } of accesses) {
      for (const entry of held) {
        const each = waiting.get(entry);
        if (each !== undefined) tell(each, seq);
      }
    }
    for (const entry of becameStale)
      if (entry.stale?.needed.who === 'user' && !isOutOfReach(world, entry))
        waiting.set(entry, { entry, missed: null });
  };
  world.iotlb?.onStep(step);
  return {
    finish() {
      for (const each of [...waiting.values()]) tell(each, null);
    },
  };
}

/** Of the same IOMMU, and of the page table of the entry as far as the invalidation names one. */
function isMeant({ iommu, tag, seq }: Invalidation, entry: Entry): boolean {
  return iommu === entry.iommu && (tag === null || tag === entry.tag) && seq > (entry.stale?.seq ?? seq);
}

function tellEntry(
  world: LintWorld,
  report: Report,
  entry: Entry,
  missed: Invalidation | null,
  usedSeq: number | null,
): void {
  const { stale } = entry;
  if (stale === null) return;
  const missing: ChainLink[] =
    missed === null
      ? []
      : [
          {
            seq: missed.seq,
            role: 'invalidated',
            says: `invalidates ${rangeOf(missed)} (${missed.granularity})`,
          },
        ];
  const used: ChainLink[] =
    usedSeq === null ? [] : [{ seq: usedSeq, role: 'used after', says: 'the device uses the old entry' }];
  const what =
    missed === null
      ? 'and no invalidation followed'
      : `and the invalidation of call ${missed.seq} (${rangeOf(missed)}) did not reach it`;
  const when = usedSeq === null ? 'to the end of the trace' : `when call ${usedSeq} used it`;
  report({
    seq: stale.seq,
    message: text(
      `${entrySpan(entry)} of ${cacheOwner(world, entry)} is still in ${cacheName(entry)} ${when}:`,
      `the guest\u2019s table says ${stale.now} since call ${stale.seq}, ${what}`,
    ),
    chain: [...stepLinks(entry), ...missing, ...used],
  });
}

function rangeOf({ firstPage, lastPage, granularity }: Invalidation): string {
  if (granularity !== 'pages') return `one ${granularity}`;
  return `0x${(firstPage * 4096).toString(16)}-0x${(lastPage * 4096 + 4095).toString(16)}`;
}

const TEST = offsetsOf(IOMMU_TEST_CMD);
const IOTLB = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.MD_CHECK_IOTLB);
const CACHE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DEV_CHECK_CACHE);
const INVALIDATE = offsetsOf(IOMMU_HWPT_INVALIDATE);
/** What an invalidated entry holds. */
const GONE = 0;

/** The fake caches of the mock IOMMU: a check that expects an entry gone, and finds it. */
function watchMock(world: LintWorld, report: Report, isNarrow: boolean): RuleListener {
  /** Last invalidation that did something, by context and id of page table or vIOMMU. */
  const invalidated = new Map<string, number>();
  const keyOf = (context: number, id: number): string => `${context} ${id}`;
  const look = (call: LintCall): void => {
    const context = contextOf(world.kernel, call);
    const isDevice = argU32(call, TEST.op) === IOMMU_TEST_OP.DEV_CHECK_CACHE;
    const expected = argU32(call, isDevice ? CACHE.cache : IOTLB.iotlb);
    if (expected !== GONE) return;
    const owner = cachedOwner(world, context, argU32(call, TEST.id), isDevice);
    if (owner === null) return;
    const life = world.lives.find(context, owner);
    const seq = invalidated.get(keyOf(context, owner));
    const last = seq !== undefined && seq > (life?.bornSeq ?? -1) ? seq : null;
    if ((last !== null) !== isNarrow) return;
    const entry = argU32(call, isDevice ? CACHE.id : IOTLB.id);
    if (entry >= MOCK_CACHE_ENTRY_COUNT) return;
    const what = `entry ${entry} of the ${isDevice ? 'device cache' : 'IOTLB'}`;
    const why =
      last === null
        ? 'and nothing was ever invalidated'
        : `and the invalidation of call ${last} did not reach it`;
    report({
      message: `${what} behind ${life === undefined ? 'it' : label(life.type, owner)} is still there, ${why}`,
      chain: [
        ...(life === undefined ? [] : [bornLink(life)]),
        ...(last === null ? [] : [{ seq: last, role: 'invalidated', says: 'invalidates something else' }]),
        hereLink(world, 'used after', `${what} should be gone`),
      ],
    });
  };
  return {
    after: {
      [CMD.IOMMU_HWPT_INVALIDATE]: (call) => {
        if (call.errno === 0 && argU32(call, INVALIDATE.entry_num) > 0)
          invalidated.set(keyOf(contextOf(world.kernel, call), argU32(call, INVALIDATE.hwpt_id)), call.seq);
      },
    },
    refused: { 'check-iotlb-differs': look, 'check-device-cache-differs': look },
  };
}

/** The object that invalidations name: the nested page table, or the vIOMMU of the device. */
function cachedOwner(world: LintWorld, context: number, id: number, isDevice: boolean): number | null {
  const object = objectOf(world.kernel, context, id);
  if (!isDevice) return object?.type === 'hwpt-nested' ? id : null;
  if (object?.type !== 'device') return null;
  const vdevice = objectOf(world.kernel, context, object.vdevice);
  return vdevice?.type === 'vdevice' ? vdevice.viommu : null;
}
