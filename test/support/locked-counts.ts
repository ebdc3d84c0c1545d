import { payerAt } from '../../src/model/accounting.ts';
import { someArea } from '../../src/model/area-table.ts';
import { heldRanges } from '../../src/model/held-ranges.ts';
import { execute, type Kernel } from '../../src/model/index.ts';
import { freePages } from '../../src/model/pages-table.ts';
import type { WaitpidCall } from '../../src/trace/index.ts';

/** What the counts of locked memory must be, computed from nothing but areas, pins and mappings. */

/** Pages that at least one of the ranges holds. */
function countHeld(ranges: readonly (readonly [number, number])[]): number {
  let count = 0;
  let end = -1;
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    count += Math.max(0, last - Math.max(first, end + 1) + 1);
    end = Math.max(end, last);
  }
  return count;
}

/** Whatever does not add up; empty when all does. */
export function lockedMismatches(kernel: Kernel): string[] {
  const { pages, state } = kernel;
  const found: string[] = [];
  const held = heldRanges(kernel);
  const free = freePages(pages);
  const users: Record<number, number> = {};
  const spaces: Record<number, number> = {};
  const add = (counts: Record<number, number>, key: number, count: number): void => {
    if (count !== 0) counts[key] = (counts[key] ?? 0) + count;
  };
  const gone = (mm: number): boolean => !kernel.memory.spaces[mm]!.alive;
  for (let slot = 0; slot < pages.slotCount; slot += 1) {
    if (free.has(slot) || pages.payer[slot] === 0) continue;
    const payer = payerAt(state, pages.payer[slot]!);
    const count = countHeld(held.get(slot) ?? []);
    if (pages.pinned[slot] !== count)
      found.push(`pages ${slot}: ${pages.pinned[slot]} pinned, ${count} held`);
    if (payer.mode === 'user' || !gone(payer.mm)) {
      if (pages.charged[slot] !== count)
        found.push(`pages ${slot}: ${pages.charged[slot]} charged, ${count} held`);
    }
    if (payer.mode === 'user') add(users, payer.uid, pages.charged[slot]!);
    else add(spaces, payer.mm, pages.charged[slot]!);
  }
  for (const { iommu } of Object.values(state.vfio.containers)) {
    if (iommu === null) continue;
    const { areas } = kernel.spaces.get(iommu.space)!;
    someArea(areas, (slot) => {
      const set = areas.pages[slot]!;
      if (!gone(pages.mm[set]!)) add(spaces, pages.mm[set]!, pages.charged[set]!);
      return false;
    });
  }
  const alive = ([mm]: [string, number]): boolean => !gone(Number(mm));
  const listed = JSON.stringify([users, Object.entries(spaces).filter(alive)]);
  const counted = JSON.stringify([state.locked.users, Object.entries(state.locked.spaces).filter(alive)]);
  if (listed !== counted) found.push(`counted ${counted}, but ${listed} is charged`);
  return found;
}

/** Every process ends, and with it all that is open. */
export function endAll(kernel: Kernel): void {
  const pids = Object.keys(kernel.state.processes).map(Number);
  for (const child of pids) {
    const call: WaitpidCall = { ...WAITPID, pid: child, child };
    execute(kernel, call);
  }
}

const WAITPID: WaitpidCall = {
  op: 'waitpid',
  seq: 0,
  pid: 0,
  tid: null,
  tNs: null,
  extra: null,
  child: 0,
  status: 0,
  replied: true,
  ret: 0,
  errno: 0,
};
