import { createResourceTracker, type Resource } from '../../src/trace/index.ts';
import type { Store } from '../../store/index.ts';
import { type AskedRange, rangeOf } from './asked-range.ts';

/** Links between the records of a trace, in columns: a long trace has millions of them. */
export interface TraceIndex {
  /** `seq` of each record, ascending. */
  readonly seqs: readonly number[];
  readonly resources: readonly Resource[];
  /** Resources that a record names, and those that it makes. */
  uses(record: number): readonly number[];
  gives(record: number): readonly number[];
  /** Records that name a resource, and those that answered its number. */
  usersOf(resource: number): readonly number[];
  makersOf(resource: number): readonly number[];
  /** The IOVAs that a record maps, copies or unmaps; null for every other record. */
  range(record: number): AskedRange | null;
  /** The fork that a process began with, by record; null when none was recorded. */
  forkOf(record: number): number | null;
  /** Position of the record with a `seq`; null when there is none. */
  find(seq: number): number | null;
}

/** Numbers in rows of any length, kept in one array. */
function createRows() {
  const starts: number[] = [0];
  const values: number[] = [];
  return {
    add(row: readonly number[]): void {
      values.push(...row);
      starts.push(values.length);
    },
    get: (index: number): readonly number[] => values.slice(starts[index], starts[index + 1]),
  };
}

/** Reads a trace up to a call and indexes it. `onProgress` is told how many records were read. */
export function indexTrace(
  store: Store,
  traceId: number,
  untilSeq: number,
  onProgress?: (records: number) => void,
): TraceIndex {
  const tracker = createResourceTracker();
  const seqs: number[] = [];
  const uses = createRows();
  const gives = createRows();
  const ranges = new Map<number, AskedRange>();
  const forks = new Map<number, number>();
  const pids: number[] = [];
  for (const call of store.readCallsExact(traceId, { toSeq: untilSeq })) {
    const links = tracker.next(call);
    const record = seqs.length;
    seqs.push(call.seq);
    pids.push(call.pid);
    uses.add([...new Set(links.uses.map(({ resource }) => resource.index))]);
    gives.add(links.gives.map(({ resource }) => resource.index));
    if (call.op === 'fork' && !forks.has(call.child)) forks.set(call.child, record);
    const range = rangeOf(call, links);
    if (range !== null) ranges.set(record, range);
    if (record % 8192 === 0) onProgress?.(record);
  }
  const users = invert(seqs.length, tracker.resources.length, uses.get);
  const makers = invert(seqs.length, tracker.resources.length, gives.get);
  return {
    seqs,
    resources: tracker.resources,
    uses: uses.get,
    gives: gives.get,
    usersOf: (resource) => users[resource] ?? [],
    makersOf: (resource) => makers[resource] ?? [],
    range: (record) => ranges.get(record) ?? null,
    forkOf: (record) => forks.get(pids[record]!) ?? null,
    find(seq) {
      const found = lowerBound(seqs, seq);
      return seqs[found] === seq ? found : null;
    },
  };
}

function invert(records: number, resources: number, rows: (record: number) => readonly number[]): number[][] {
  const found: number[][] = Array.from({ length: resources }, () => []);
  for (let record = 0; record < records; record++)
    for (const resource of rows(record)) found[resource]!.push(record);
  return found;
}

function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
