import { toBigInt } from '../address.ts';
import { someArea } from '../area-table.ts';
import type { IovaSpace } from '../iova-space.ts';
import type { Kernel } from '../kernel.ts';

/** One mapped area as a person asks about it. */
export interface AreaFacts {
  /** Place in the columns of its table. */
  readonly slot: number;
  readonly iova: bigint;
  /** Inclusive. */
  readonly iovaLast: bigint;
  /** `r`, `w` or `rw`. */
  readonly access: string;
  /** Process whose memory it is; null when it is that of a file. */
  readonly pid: number | null;
  /** User address, or place in the file, of its first byte. */
  readonly memory: bigint;
  /** Live pins of access objects. */
  readonly pins: number;
}

const ACCESS = ['', 'r', 'w', 'rw'];

/** The areas of a space in the order of IOVAs, at most `most` of them. */
export function listAreas(kernel: Kernel, { areas }: IovaSpace, most: number): AreaFacts[] {
  const found: AreaFacts[] = [];
  if (most <= 0) return found;
  const pids = new Map(Object.values(kernel.state.processes).map(({ mm, pid }) => [mm, pid]));
  someArea(areas, (slot) => {
    const pages = areas.pages[slot]!;
    const page = kernel.pages.basePage[pages]! + areas.firstIndex[slot]!;
    found.push({
      slot,
      iova: toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!),
      iovaLast: toBigInt(areas.lastPage[slot]!, areas.lastOffset[slot]!),
      access: ACCESS[areas.prot[slot]!] ?? '',
      pid: pids.get(kernel.pages.mm[pages]!) ?? null,
      memory: toBigInt(page, areas.pageOffset[slot]!),
      pins: areas.accesses[slot]!,
    });
    return found.length >= most;
  });
  return found;
}
