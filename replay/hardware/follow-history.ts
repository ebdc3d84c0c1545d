import { type EffectSink, type IovaSpace, type Kernel, NO_EFFECTS } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import { CMD } from '../../src/uapi/index.ts';
import { NO_FILL } from './fill-table.ts';
import type { History } from './history.ts';
import { eachIoas, followAreas, followDomains, hwptGone, hwptMade } from './history-domains.ts';
import { addFill, dropFill, newFill } from './history-fills.ts';
import { takeHugeMapping, takeNote } from './physical-pages.ts';

/**
 * Keeps a history while a replay runs. It follows the effects of the calls: areas mapped and unmapped in an
 * IOAS go to all of its domains; a domain that joins gets all areas there are.
 */

/** What a kernel tells a history. */
export function historySink(history: History, kernel: Kernel): EffectSink {
  const touch = (): void => {
    history.stale = true;
  };
  return {
    ...NO_EFFECTS,
    objectCreated(context, type, id) {
      history.stale = true;
      if (type === 'hwpt-paging') hwptMade(history, kernel, context, id);
    },
    objectDestroyed(context, type, id) {
      history.stale = true;
      if (type === 'hwpt-paging') hwptGone(history, kernel, context, id);
    },
    deviceAttached: touch,
    deviceReplaced: touch,
    deviceDetached: touch,
    rangeMapped: (context, ioas, space, slot) => fillArea(history, kernel, context, ioas, space, slot),
    rangeUnmapped: (_context, _ioas, space, slot) => emptyArea(history, kernel, space, slot),
  };
}

/** After each record of the trace. `diverged`: the model took over what the record said. */
export function afterCall(history: History, kernel: Kernel, call: Call, diverged: boolean): void {
  if (call.op === 'note') {
    if (call.kind === 'pagemap') takeNote(history.physical, kernel, call);
    return;
  }
  if (call.op === 'mmap') takeHugeMapping(history.physical, kernel, call);
  if (diverged) history.stale = true;
  // SET_IOMMU of a classic container makes no object, nor does a group that leaves one.
  if (call.op === 'close' || (call.op === 'ioctl' && TYPE1_CALLS.has(call.cmd))) history.stale = true;
  if (call.op === 'ioctl' && call.cmd === CMD.IOMMU_HWPT_SET_DIRTY_TRACKING) noteTracking(history, kernel);
  if (history.stale) {
    followDomains(history, kernel);
    history.stale = false;
    if (diverged) for (const each of history.spaces.values()) followAreas(history, kernel, each);
  }
  history.dropped.row = NO_FILL;
}

/** After what no record tells: the exit of a process. */
export function afterExit(history: History, kernel: Kernel): void {
  if (history.stale) followDomains(history, kernel);
  history.stale = false;
  history.dropped.row = NO_FILL;
}

const TYPE1_CALLS: ReadonlySet<number> = new Set([
  CMD.VFIO_SET_IOMMU,
  CMD.VFIO_GROUP_SET_CONTAINER,
  CMD.VFIO_GROUP_UNSET_CONTAINER,
]);

function fillArea(
  history: History,
  kernel: Kernel,
  context: number,
  ioas: number,
  space: IovaSpace,
  slot: number,
): void {
  const own = history.spaces.get(space);
  if (own === undefined || own.domains.length === 0) return;
  // A type1 container has no IOAS.
  const object = ioas === 0 ? undefined : kernel.state.contexts[context]?.objects[ioas];
  const small = object?.type === 'ioas' && object.largePagesOff;
  addFill(history, own, newFill(history, kernel, space, slot, small));
}

function emptyArea(history: History, kernel: Kernel, space: IovaSpace, slot: number): void {
  const own = history.spaces.get(space);
  if (own === undefined) return;
  const page = space.areas.startPage[slot]!;
  const row = own.fills.get(page);
  if (row !== undefined) dropFill(history, kernel, own, row, space.areas.lastPage[slot]! - page + 1);
}

function noteTracking(history: History, kernel: Kernel): void {
  for (const { context, ioas } of eachIoas(kernel)) {
    for (const id of ioas.domains) {
      const hwpt = context.objects[id];
      if (hwpt?.type !== 'hwpt-paging' || !hwpt.tracking) continue;
      const domain = history.domains.get(hwpt.domain.key);
      if (domain !== undefined) domain.tracked = true;
    }
  }
}
