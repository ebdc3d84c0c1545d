import { enableMapSet, produce } from 'immer';
import { assign, setup, transition } from 'xstate';
import type { Call } from '../src/trace/index.ts';
import { CMD, decodeStruct, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP } from '../src/uapi/index.ts';

/**
 * The naive way to replay maps and unmaps, as a baseline: every call decoded to an object with bigints, one
 * XState `transition` for the lifecycle and one Immer `produce` on a Map of areas by IOVA (an unmap names the
 * start of an area).
 */

const machine = setup({
  types: { context: {} as { maps: number }, events: {} as { type: 'MAP' } | { type: 'UNMAP' } },
}).createMachine({
  initial: 'live',
  context: { maps: 0 },
  states: {
    live: {
      on: {
        MAP: { actions: assign({ maps: ({ context }) => context.maps + 1 }) },
        UNMAP: { actions: assign({ maps: ({ context }) => context.maps - 1 }) },
      },
    },
  },
});

interface Area {
  readonly last: bigint;
  readonly userVa: bigint;
}

/** Replays the calls; answers how many areas are left. */
export function replayNaively(calls: readonly Call[]): number {
  enableMapSet();
  let areas: ReadonlyMap<bigint, Area> = new Map();
  let snapshot = machine.resolveState({ value: 'live', context: { maps: 0 } });
  for (const call of calls) {
    if (call.op !== 'ioctl' || call.arg === null || call.out === null) continue;
    if (call.cmd === CMD.IOMMU_IOAS_MAP) {
      const { fields } = decodeStruct(IOMMU_IOAS_MAP, call.out);
      const iova = fields.iova ?? 0n;
      areas = produce(areas, (draft) => {
        draft.set(iova, { last: iova + (fields.length ?? 0n) - 1n, userVa: fields.user_va ?? 0n });
      });
      [snapshot] = transition(machine, snapshot, { type: 'MAP' });
    } else if (call.cmd === CMD.IOMMU_IOAS_UNMAP) {
      const { fields } = decodeStruct(IOMMU_IOAS_UNMAP, call.arg);
      areas = produce(areas, (draft) => {
        draft.delete(fields.iova ?? 0n);
      });
      [snapshot] = transition(machine, snapshot, { type: 'UNMAP' });
    }
  }
  return areas.size;
}
